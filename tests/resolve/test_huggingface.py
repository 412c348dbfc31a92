"""`hf:` names: configurations of transformers by name, file and class."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import archscope
from archscope import resolve
from archscope.errors import ArchscopeError
from archscope.resolve.huggingface import configuration, tasks

transformers = pytest.importorskip("transformers")

SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}


def params(name: str, **settings: object) -> int:
    return sum(p.numel() for p in resolve.network(name, **settings).module.parameters())


def test_settings_change_the_configuration_before_it_derives_anything():
    attention = 64 * 64 + 2 * 64 * 32 + 64 * 64  # query, key and value of 2·16, output
    layer = attention + 3 * 64 * 96 + 2 * 64
    assert params("hf:llama", **SMALL) == 2 * 1000 * 64 + 2 * layer + 64


def test_a_setting_that_the_network_alone_reads_is_taken():
    """Qwen3-MoE's configuration has no field of the heads' width; the published 235B sets it.

    In one layer q and o of 4 heads and k and v of 2 grow with that width, and so do the two
    normalisations of a head.
    """
    settings = SMALL | {"num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    settings |= {"num_experts": 2, "moe_intermediate_size": 16}
    hidden = settings["hidden_size"]
    grown = params("hf:qwen3_moe", **settings, head_dim=24) - params(
        "hf:qwen3_moe", **settings, head_dim=16
    )
    assert grown == 8 * (hidden * (2 * 4 + 2 * 2) + 2)


def test_a_network_is_the_one_that_transformers_builds():
    config = transformers.Qwen3Config(**SMALL, head_dim=16)
    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(config)
    found = resolve.network("hf:qwen3", **SMALL, head_dim=16).module
    shapes = {name: p.shape for name, p in module.named_parameters()}
    assert {name: p.shape for name, p in found.named_parameters()} == shapes
    assert all(p.is_meta for p in found.parameters())


def test_an_architecture_may_be_written_as_its_package():
    assert params("hf:gpt_neox", num_hidden_layers=1) > 0
    assert params("hf:xlm_roberta", num_hidden_layers=1) > 0


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("hf:lama", {}, "did you mean.* llama"),
        ("hf:someone/somewhere", {}, "downloads nothing"),
        ("hf:llama", {"num_hiden_layers": 2}, "did you mean num_hidden_layers"),
        ("hf:llama", {"num_hidden_layers": "many"}, "hf:llama refuses it"),
        ("hf:bark", {}, "has no forward pass: .*BarkSemanticModel"),
        ("hf:llama", {"task": "depth-estimation"}, "hf:llama has no such head"),
        ("hf:llama", {"dtype": "int8"}, "is not a floating dtype"),
        ("hf:llama", {"image": 224}, "^image=224: the input .* has none"),
    ],
)
def test_mistakes_say_what_there_is(name, settings, message):
    with pytest.raises(ArchscopeError, match=message):
        resolve.network(name, **settings)


def test_a_setting_that_the_network_reads_in_vain_is_named():
    """A part of a configuration has its settings under its own name."""
    with pytest.raises(ArchscopeError, match="set it with num_key_value_heads=VALUE"):
        archscope.summary("hf:moonshine_streaming")
    with pytest.raises(ArchscopeError, match=r"set it with attn_config\.rope_theta=VALUE"):
        archscope.summary("hf:dbrx")


def test_a_folder_or_its_file_is_a_network_and_no_saved_record(tmp_path: Path):
    config = transformers.LlamaConfig(**SMALL, architectures=["LlamaForCausalLM"])
    config.save_pretrained(tmp_path)
    for name in (f"hf:{tmp_path}", f"hf:{tmp_path}/config.json"):
        assert archscope.summary(name).total.params == params("hf:llama", **SMALL)
    assert params(f"hf:{tmp_path}", vocab_size=500) == params(
        "hf:llama", **SMALL | {"vocab_size": 500}
    )


def test_a_stored_configuration_with_fewer_layers_keeps_the_first_ones(tmp_path: Path):
    settings = {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 1000}
    transformers.Gemma3TextConfig(**settings, num_hidden_layers=8).save_pretrained(tmp_path)
    module = resolve.network(f"hf:{tmp_path}", num_hidden_layers=6).module
    assert module.config.layer_types == ["sliding_attention"] * 5 + ["full_attention"]


def test_a_file_of_an_unknown_architecture_says_so(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own"}))
    with pytest.raises(ArchscopeError, match="model_type 'own', unknown to transformers"):
        resolve.network(f"hf:{tmp_path}")


def test_settings_reach_the_configuration_of_the_text():
    flat = {"num_hidden_layers": 2, "vocab_size": 1000}
    dotted = {f"text_config.{key}": value for key, value in flat.items()}
    assert params("hf:gemma3", **flat) == params("hf:gemma3", **dotted)
    with pytest.raises(ArchscopeError, match="vision_config of hf:gemma3 has no such"):
        resolve.network("hf:gemma3", **{"vision_config.sides": 3})


def test_a_configuration_class_and_a_configuration_are_networks(tmp_path: Path):
    expected = params("hf:llama", **SMALL)
    assert params("transformers:LlamaConfig", **SMALL) == expected
    config = transformers.LlamaConfig(**SMALL)
    assert archscope.summary(config).total.params == expected
    assert archscope.summary(transformers.LlamaConfig, **SMALL).total.params == expected
    assert config.dtype is None  # building must not write into the caller's
    file = tmp_path / "own.py"
    file.write_text(
        "from transformers import LlamaConfig\n"
        f"class Tiny(LlamaConfig):\n    hidden_size: int = 64\n"
        f"small = LlamaConfig(**{SMALL})\n"
    )
    assert params(f"{file}:small") == expected


def test_tasks_add_their_head():
    base = params("hf:llama", **SMALL, task="feature-extraction")
    assert params("hf:llama", **SMALL) - base == 1000 * 64
    assert params("hf:llama", **SMALL, task="text-generation") - base == 1000 * 64
    assert params("hf:llama", **SMALL, task="LlamaForCausalLM") - base == 1000 * 64
    classes = params("hf:llama", **SMALL, task="sequence-classification", num_labels=3)
    assert classes - base == 3 * 64


def test_a_class_whose_forward_fails_gives_way_and_says_so():
    layers = {"text_config.num_hidden_layers": 1}
    found = resolve.network("hf:llama4", **layers)
    assert type(found.module).__name__ == "Llama4ForCausalLM"
    assert "the forward pass of Llama4ForConditionalGeneration" in " ".join(found.notes)
    asked = resolve.network("hf:llama4", **layers, task="image-text-to-text")
    assert type(asked.module).__name__ == "Llama4ForConditionalGeneration"


def test_every_auto_class_has_a_task():
    known = tasks.auto_classes()
    assert {"causal-lm", "masked-lm", "seq2seq-lm", "speech-seq2seq", "ctc"} <= set(known)
    assert {"image-classification", "image-text-to-text", "audio-x-vector"} <= set(known)


def test_the_dtype_is_that_of_the_weights():
    module = resolve.network("hf:llama", **SMALL, dtype="bfloat16").module
    assert {p.dtype for p in module.parameters()} == {torch.bfloat16}


def test_the_attention_that_is_asked_for_is_built():
    module = resolve.network("hf:llama", **SMALL, attn_implementation="eager").module
    assert module.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("hf:llama", SMALL, "input_ids=1×128:int64"),
        ("hf:llama", SMALL | {"seq": 4096}, "input_ids=1×4096:int64"),
        ("hf:t5", {"num_layers": 1}, "input_ids=1×128:int64, decoder_input_ids=1×128:int64"),
        ("hf:vit", {"num_hidden_layers": 1}, "pixel_values=1×3×224×224"),
        ("hf:whisper", {"encoder_layers": 1, "decoder_layers": 1, "seq": 7},
         "input_features=1×80×3000, decoder_input_ids=1×7:int64"),
        ("hf:clip", {}, "input_ids=1×77:int64, pixel_values=1×3×224×224"),
        ("hf:wav2vec2", {"num_hidden_layers": 1}, "input_values=1×16000"),
        ("hf:videomae", {"num_hidden_layers": 1}, "pixel_values=1×16×3×224×224"),
        ("hf:timesformer", {"num_hidden_layers": 1}, "pixel_values=1×8×3×224×224"),
        ("hf:encodec", {}, "input_values=1×1×16000"),
        ("hf:bros", {"num_hidden_layers": 1}, "input_ids=1×128:int64, bbox=1×128×4:int64"),
        ("hf:xclip", {"vision_config.num_hidden_layers": 1, "text_config.num_hidden_layers": 1},
         "input_ids=1×77:int64, pixel_values=1×8×3×224×224"),
        ("hf:wav2vec2-bert", {"num_hidden_layers": 1}, "input_features=1×1024×160"),
        # Dia's decoder reads nine codebooks side by side, one step of them a position.
        ("hf:dia", {"decoder_config.num_hidden_layers": 1, "encoder_config.num_hidden_layers": 1},
         "input_ids=1×128:int64, decoder_input_ids=1×128×9:int64"),
        # The smallest copy, a quarter of the image, is still one patch of 384 (Bochkovskii 2024).
        ("hf:depth_pro", {"image_model_config.num_hidden_layers": 4,
                          "patch_model_config.num_hidden_layers": 12},
         "pixel_values=1×3×1536×1536"),
        ("hf:patchtst", {}, "past_values=1×32×1"),
        # Lags of 1 to 7 steps reach back beyond the context.
        ("hf:time_series_transformer", {"prediction_length": 24},
         "past_values=1×31, past_time_features=1×31×0, past_observed_mask=1×31, "
         "future_values=1×24, future_time_features=1×24×0"),
        ("hf:decision_transformer", {"n_layer": 1},
         "states=1×20×17, actions=1×20×4, rewards=1×20×1, returns_to_go=1×20×1, "
         "timesteps=1×20:int64"),
        ("hf:perceiver", {"num_self_attends_per_block": 1}, "inputs=1×128×768"),
        ("hf:siglip2_vision_model",
         {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32,
          "num_attention_heads": 2},
         "pixel_values=1×256×768, pixel_attention_mask=1×256:int64, spatial_shapes=1×2:int64"),
        ("hf:vilt", {"num_hidden_layers": 1}, "input_ids=1×40:int64, pixel_values=1×3×384×384"),
        # MusicGen has four codebooks (Copet et al. 2023, section 2.1).
        ("hf:musicgen", {"decoder.num_hidden_layers": 1, "decoder.hidden_size": 64,
                         "decoder.ffn_dim": 64}, "input_ids=4×128:int64"),
        ("timm:vit_tiny_patch16_224", {"image": 384}, "1×3×384×384"),
        ("timm:resnet18", {"image": 288}, "1×3×288×288"),
        ("vit_b_16", {"image": 384}, "1×3×384×384"),
        ("resnet18", {"image": (160, 192)}, "1×3×160×192"),
        ("lenet", {"image": 60}, "1×1×60×60"),
    ],
)  # fmt: skip
def test_default_inputs_and_their_sides(name, settings, expected):
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    assert str(archscope.summary(name, **settings).analysis.input) == expected


def test_a_length_may_be_a_symbol():
    found = archscope.formula("hf:llama", **SMALL, seq="L").record
    layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 96
    length, batch = 50, 3
    expected = batch * length * (2 * layer + 64 * 1000) + 2 * batch * 2 * length * length * 64
    assert found.macs.value({"L": length, "N": batch}) == expected


def test_experts_count_for_the_tokens_that_are_routed_to_them():
    """Each token meets two of eight: three products of 64 by 96, whatever the dtype."""
    settings = SMALL | {"num_local_experts": 8, "num_experts_per_tok": 2, "seq": 100}
    for dtype in ("float32", "bfloat16"):
        summary = archscope.summary("hf:mixtral", **settings, dtype=dtype)
        experts = sum(layer.macs for layer in summary.layers if layer.kind == "MixtralExperts")
        assert experts == 2 * 100 * 2 * 3 * 64 * 96
        assert summary.coverage.complete


def test_the_options_are_another_way_to_write_the_settings():
    command = [sys.executable, "-m", "archscope", "summary", "lenet"]
    texts = [
        subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout
        for options in (["--image", "60"], ["--set", "image=60"])
    ]
    assert texts[0] == texts[1]
    assert "1×60×60" in texts[0]


def test_architectures_are_those_of_the_library():
    assert {"llama", "bert", "mamba", "clip"} <= set(configuration.architectures())


@pytest.mark.slow
def test_a_hundred_billion_parameters_take_seconds_and_no_memory():
    script = (
        "import archscope, resource;"
        "found = archscope.summary('hf:gpt_oss');"
        "print(found.total.params, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    total, kib = map(int, run.stdout.split())
    assert total == 116_829_156_672  # the model card says 117 billion
    assert kib < 2**20
