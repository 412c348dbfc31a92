"""Generation counted on meta is generation as transformers runs it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.generation import caches
from archscope.ask.generation.run import generation
from archscope.ask.target import network_target, target
from archscope.errors import ArchscopeError

transformers = pytest.importorskip("transformers")

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 96}
LLAMA = SMALL | {"num_hidden_layers": 3, "num_key_value_heads": 2}
GEMMA3 = LLAMA | {"num_hidden_layers": 6, "sliding_window": 8, "head_dim": 8}
GPT_OSS = SMALL | {
    "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8,
    "num_local_experts": 4, "num_experts_per_tok": 2,
}  # fmt: skip
DEEPSEEK = SMALL | {
    "num_hidden_layers": 2, "num_key_value_heads": 4, "moe_intermediate_size": 16,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "q_lora_rank": 16,
    "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8,
    "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1,
}  # fmt: skip
MAMBA2 = {
    "hidden_size": 32, "num_heads": 8, "head_dim": 8, "state_size": 4, "n_groups": 1,
    "num_hidden_layers": 2, "vocab_size": 96, "chunk_size": 4,
}  # fmt: skip
JAMBA = SMALL | {
    "num_hidden_layers": 4, "num_key_value_heads": 2, "attn_layer_period": 2,
    "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 4, "mamba_d_state": 4,
    "mamba_dt_rank": 4, "use_mamba_kernels": False,
}  # fmt: skip
BART = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 96,
}  # fmt: skip
MINIMAX = LLAMA | {"num_hidden_layers": 2, "head_dim": 8, "num_local_experts": 2}
RECURRENT_GEMMA = SMALL | {
    "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 8, "head_dim": 8,
}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 96}

PROPHETNET = {
    "hidden_size": 32, "num_encoder_layers": 1, "num_decoder_layers": 1, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4,
    "vocab_size": 96,
}  # fmt: skip

SWITCH = T5 | {"num_layers": 2, "num_decoder_layers": 2, "num_experts": 2}

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("llama", LLAMA), ("gemma3_text", GEMMA3), ("gpt_oss", GPT_OSS), ("deepseek_v3", DEEPSEEK),
    ("mamba2", MAMBA2), ("jamba", JAMBA), ("t5", T5),
]  # fmt: skip
MORE: list[tuple[str, dict[str, Any]]] = [
    ("minimax", MINIMAX), ("recurrent_gemma", RECURRENT_GEMMA),
    ("bart", BART),  # asks whether its mask of ones is all ones
    ("prophetnet", PROPHETNET),  # takes what its encoder returned by name
    ("switch_transformers", SWITCH),  # routes by values, and asks for its encoder's routers
]  # fmt: skip
"""Whose cache alone is compared."""


def real_bytes(name: str, settings: dict[str, Any], prompt: int, tokens: int, batch: int) -> int:
    """Bytes of the states that transformers' own generation leaves behind."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **settings)
    encodes = config.is_encoder_decoder
    auto = transformers.AutoModelForSeq2SeqLM if encodes else transformers.AutoModelForCausalLM
    model = auto.from_config(config).eval()
    ids = torch.randint(3, 90, (batch, prompt))
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
        do_sample=False, return_dict_in_generate=True, pad_token_id=0,
        decoder_start_token_id=0 if encodes else None,
    )  # fmt: skip
    held = [getattr(out, key, None) for key in ("cache", "past_key_values")]
    cache = next(cache for cache in held if cache is not None)
    in_modules = [
        getattr(module, key, None)
        for module in model.modules()
        for key in ("conv1d_state", "recurrent_states")  # of RecurrentGemma
    ]
    return plain_bytes(cache) + sum(x.nbytes for x in in_modules if x is not None)


def plain_bytes(cache: Any) -> int:
    """Every tensor that a layer of a cache keeps, looked up by the attributes' own names."""
    parts = (
        [cache.self_attention_cache, cache.cross_attention_cache]
        if hasattr(cache, "self_attention_cache")
        else [cache]
    )
    total = sum(x.nbytes for x in getattr(cache, "linear_cache", ()) if len(x))  # of MiniMax
    for layer in (layer for part in parts for layer in part.layers):
        states = [getattr(layer, key, None) for key in ("keys", "values")]
        for key in ("conv_states", "recurrent_states"):
            held = getattr(layer, key, None) or []
            states += list(held.values()) if isinstance(held, dict) else list(held)
        total += sum(x.numel() * x.element_size() for x in states if isinstance(x, torch.Tensor))
    return total


@pytest.mark.filterwarnings("ignore")  # transformers advises of kernels that are not installed
@pytest.mark.parametrize(
    ("name", "settings"), NETWORKS + MORE, ids=[name for name, _ in NETWORKS + MORE]
)
def test_the_cache_has_the_bytes_of_the_real_one(name, settings):
    found = generation(network_target(f"hf:{name}", keywords=settings), 12, 5, batch=2)
    assert found.cache_bytes == real_bytes(name, settings, 12, 5, 2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "settings"), NETWORKS, ids=[name for name, _ in NETWORKS])
def test_the_total_is_the_sum_of_every_step(name, settings):
    """Each step counted on its own, across the end of the sliding windows."""
    from archscope.ask.generation.run import _input
    from archscope.ask.generation.steps import Steps
    from archscope.ask.network.subject import find
    from archscope.records import totals

    prompt, tokens = 4, 9
    found = generation(network_target(f"hf:{name}", keywords=settings), prompt, tokens)
    subject = find(f"hf:{name}", settings)
    steps = Steps(subject, _input(subject), 1, prompt)
    each = [steps.step(steps.start + k)[0] for k in range(1, tokens)]
    assert found.steps == tokens - 1
    assert found.macs == sum(totals(layers).macs for layers in (steps.prefill(), *each))


def test_closed_forms_of_grouped_query_attention_by_hand():
    """Three layers of width 32, two of four KV heads of width 8, an MLP of 48, a vocabulary of 96.

    A token costs its projections and MLP; each pair of query and key 2·32 in every layer.
    """
    found = generation(network_target("hf:llama", keywords=LLAMA), 20, 7)
    token = 3 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)
    head, pair = 32 * 96, 3 * 2 * 32
    assert found.prefill_form == (head, token, pair)
    (piece,) = found.pieces
    assert (piece.macs_at_zero, piece.macs_slope) == (token + head, pair)
    contexts = range(21, 27)
    assert found.macs == (
        20 * token + head + pair * 20**2 + sum(token + head + pair * t for t in contexts)
    )
    assert found.cache_bytes_at(26) == found.cache_bytes == 3 * 2 * 16 * 4 * 26
    assert found.textbook_cache_bytes == found.cache_bytes


def test_a_sliding_window_ends_the_growth_and_the_usual_formula_is_too_high():
    found = generation(network_target("hf:gemma3_text", keywords=GEMMA3), 32, 5)
    ends = [layer.window for layer in found.cache]
    assert ends == [7, 7, 7, 7, 7, None]  # the eighth token of a window is the query itself
    each = 2 * 2 * 8 * 4
    assert found.cache_bytes == each * (5 * 7 + 36)
    assert found.textbook_cache_bytes == each * 6 * 36


def test_a_window_that_is_not_reached_is_known_from_the_cache():
    found = generation(network_target("hf:gemma3_text", keywords=GEMMA3), 3, 2)
    assert [layer.window for layer in found.cache] == [7, 7, 7, 7, 7, None]
    assert found.cache_bytes_at(100) == 2 * 2 * 8 * 4 * (5 * 7 + 100)


def test_experts_are_told_from_what_every_token_meets():
    found = generation(network_target("hf:deepseek_v3", keywords=DEEPSEEK), 10, 3, batch=2)
    (mixture,) = found.experts
    assert any("caches the latent alone" in note for note in found.notes)
    assert found.cache_bytes == 2 * 2 * 12 * (8 + 4) * 4  # layers, sequences, tokens, values, bytes
    expert = 3 * 32 * 16
    assert (mixture.count, mixture.per_token, mixture.params) == (4, 2, expert)
    assert found.params - found.active_params == 2 * expert
    assert found.table_params == 96 * 32  # tokens; the head has a matrix of its own
    assert found.prefill_macs is not None
    assert found.prefill_macs.routed == 2 * 10 * 2 * expert
    assert found.prefill_macs.shared == 2 * 10 * expert
    assert found.prefill_macs.router == 2 * 10 * 32 * 4
    macs = found.prefill_macs
    assert macs.routed + macs.shared + macs.router + macs.others == found.prefill.macs


def test_the_weights_read_are_those_of_the_experts_expected():
    found = generation(network_target("hf:gpt_oss", keywords=GPT_OSS), 10, 3)
    (step, *_) = (piece.first for piece in found.pieces)
    idle = sum(2 * mixture.bytes for mixture in found.experts)  # one token meets 2 of 4
    table = 96 * 32 * 4
    assert step.weight_bytes == found.weight_bytes - idle - table + 32 * 4


def test_expected_distinct_experts():
    from archscope.records.generation import Experts

    experts = Experts("", 4, 2, 0, 0)
    assert experts.distinct(1) == 2
    # Two tokens of two choices of four: 4·(1 − 1/4) = 3.
    assert experts.distinct(2) == 3
    assert experts.distinct(1000) == pytest.approx(4)


def test_the_prefill_is_a_forward_pass_with_one_score():
    found = generation(network_target("hf:llama", keywords=LLAMA), 20, 1)
    whole = analyse(target("hf:llama", input="input_ids=20:int64", keywords=LLAMA)).total.macs
    assert whole - found.prefill.macs == 19 * 32 * 96
    assert found.pieces == ()


class Recurrent(nn.Module):
    """A user's own network, which returns (scores, state) and takes the state again."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.cell = nn.Linear(8, 4)
        self.head = nn.Linear(4, 10)

    def forward(self, ids: torch.Tensor, state: Any = None) -> Any:
        held = torch.zeros(len(ids), 4, device=ids.device) if state is None else state
        for x in self.table(ids).unbind(1):
            held = torch.tanh(self.cell(torch.cat([x, held], 1)))
        return self.head(held), held


def test_a_network_of_the_user_s_own_returns_its_state():
    found = generation(network_target(Recurrent()), 6, 4, batch=3)
    assert found.cache_bytes == 3 * 4 * 4
    assert found.macs == 3 * ((6 + 3) * 8 * 4 + 4 * 4 * 10)


def test_what_has_no_cache_or_no_tokens_says_so():
    with pytest.raises(ArchscopeError, match="returns no cache"):
        generation(network_target("hf:bert", keywords={"num_hidden_layers": 1}), 8, 2)
    with pytest.raises(ArchscopeError, match="takes no tokens"):
        generation(network_target("resnet18"), 8, 2)
    with pytest.raises(ArchscopeError, match="prompt=2: is too few"):
        generation(network_target("hf:llama", keywords=LLAMA), 2, 2)


def test_a_record_survives_its_file():
    found = generation(network_target("hf:gpt_oss", keywords=GPT_OSS), 10, 3)
    assert archive.loads(archive.dumps(found)) == found


def test_caches_of_tuples_and_objects_are_read_by_layer():
    pair = (torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4))
    assert [layer.bytes for layer in caches.layers((pair, pair))] == [192, 192]
    assert caches.find((torch.zeros(1),), {"x": None}) is None


class Positions(nn.Module):
    """Learned positions for eight tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.positions = nn.Parameter(torch.zeros(1, 8, 4))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids) + self.positions[:, : ids.shape[1]]


def test_a_prompt_that_is_too_long_is_named() -> None:
    """The user gave no input."""
    with pytest.raises(ArchscopeError, match=r"^prompt=64: .*give another prompt"):
        generation(target(Positions()), 64, 4)
