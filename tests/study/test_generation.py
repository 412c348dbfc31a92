"""What `generate` prints says what was counted."""

from __future__ import annotations

import pytest

import archscope
from archscope.ask.generation.bound import bound
from archscope.latency.devices import find_device
from archscope.study.generation import generation_report

pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 96,
    "num_hidden_layers": 3, "num_key_value_heads": 2,
}  # fmt: skip


def test_the_closed_form_of_all_gives_the_total():
    found = archscope.generate("hf:llama", 20, 7, **SMALL).record
    forms = {row.cells[0]: row.cells[1] for row in generation_report(found).tables[1].rows}
    text = str(forms["MACs of all"])
    python = text.replace("·", "*").replace("−", "-").replace("²", "**2").replace(",", "")
    assert eval(python, {"P": 20, "T": 7}) == found.macs


def test_the_table_of_the_cache_adds_up():
    found = archscope.generate("hf:gemma3_text", 20, 7, **SMALL | {"sliding_window": 8}).record
    report = generation_report(found)
    table = report.tables[2]
    assert sum(table.column("final_bytes")[:-1]) == table.column("final_bytes")[-1]
    assert table.column("final_bytes")[-1] == found.cache_bytes
    assert "times as much" in table.notes[-1]
    assert report.data is not None
    assert sum(report.data.column("final_bytes")) == found.cache_bytes


def test_a_memory_and_a_device_add_what_they_allow():
    found = archscope.generate("hf:llama", 20, 7, dtype="bfloat16", **SMALL).record
    device = find_device("h100")
    least = bound(found, device)
    read = found.weight_bytes - 96 * 32 * 2 + 20 * 32 * 2  # of the table the rows of 20 tokens
    assert least.seconds[0] == read / device.bandwidth_bytes_per_second
    report = generation_report(found, budget_bytes=2**20, least=least)
    costs, fit = report.tables[0], report.tables[-1]
    assert costs.rows[-1].cells[0] == "Time, at least"
    assert str(found.largest_batch(2**20)) in str(fit.rows[1].cells[1]).replace(",", "")


def test_a_mixture_has_a_table_of_its_own():
    settings = SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2}
    found = archscope.generate("hf:mixtral", 20, 7, **settings).record
    table = generation_report(found).tables[3]
    assert table.title.startswith("Mixture of experts: 3 layers, 2 of 4")
    numbers = {row.cells[0]: row.cells[1] for row in table.rows}
    assert numbers["Parameters that a token meets"] == f"{found.active_params:,}"
    assert "MACs of shared experts" not in numbers
