"""What `generate` prints says what was counted."""

from __future__ import annotations

import pytest

import archscope
from archscope.ask.generation import times
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


def test_its_costs_are_numbers_below_each_other():
    found = archscope.generate("hf:llama", 20, 7, **SMALL).record
    costs = generation_report(found).tables[0]
    assert all(column.numeric for column in costs.columns[1:])
    assert costs.column("total")[0] == found.macs
    assert [row.unit for row in costs.rows] == ["macs", "bytes", "bytes", "bytes", "decimal"]


def test_the_table_of_the_cache_adds_up():
    found = archscope.generate("hf:gemma3_text", 20, 7, **SMALL | {"sliding_window": 8}).record
    report = generation_report(found)
    table = report.tables[2]
    assert sum(table.column("final_bytes")[:-1]) == table.column("final_bytes")[-1]
    assert table.column("final_bytes")[-1] == found.cache_bytes
    assert "times as much" in table.notes[-1]
    assert report.data is not None
    assert sum(report.data.column("final_bytes")) == found.cache_bytes


def test_a_memory_adds_what_fits():
    found = archscope.generate("hf:llama", 20, 7, fit=2**20, **SMALL)
    fit = found.report.tables[-1]
    assert fit.title == "What fits into 1.00 MiB"
    assert found.record.largest_batch(2**20) == fit.rows[1].cells[1]


def test_a_device_adds_the_predicted_time_of_every_call():
    answer = archscope.generate("hf:llama", 20, 7, on="h100,rtx4090", dtype="bfloat16", **SMALL)
    found, device = answer.record, find_device("h100")
    time = found.times[0]
    assert time.first is not None
    read = found.weight_bytes - 96 * 32 * 2 + 20 * 32 * 2  # of the table the rows of 20 tokens
    assert time.prefill.least == read / device.bandwidth_bytes_per_second
    for call in (time.prefill, time.first, time.last, time.total):
        assert call is not None
        assert call.least <= call.low < call.seconds < call.high
    assert found.steps == 6
    mean = (time.first.seconds + time.last.seconds) / 2
    assert time.total.seconds == pytest.approx(time.prefill.seconds + 6 * mean)
    titles = [table.title for table in answer.report.tables]
    assert titles[1:3] == [f"On {t.device}, bfloat16" for t in found.times]


def test_no_call_is_predicted_faster_than_the_peaks_allow(monkeypatch):
    monkeypatch.setattr(times, "least", lambda *_: 1.0)  # longer than any call of so small a net
    (time,) = archscope.generate("hf:llama", 20, 2, on="h100", **SMALL).record.times
    for call in (time.prefill, time.last):
        assert call.least == call.low == call.seconds == call.high == 1.0


def test_the_predicted_prefill_is_that_of_the_network_alone():
    """`predict` of the same tokens differs by the scores: of every token, not of the last."""
    settings = SMALL | {"vocab_size": 1}
    asked = dict(dtype="bfloat16", **settings)
    (time,) = archscope.generate("hf:llama", 20, 1, on="h100", **asked).record.times
    alone = archscope.predict(
        "hf:llama", "input_ids=1x20:int64", device="h100", dtype="bfloat16", **settings
    )
    assert time.total == time.prefill
    assert time.prefill.seconds == pytest.approx(alone.seconds, rel=0.2)  # the cache's own work


def test_a_mixture_has_a_table_of_its_own():
    settings = SMALL | {"num_local_experts": 4, "num_experts_per_tok": 2}
    found = archscope.generate("hf:mixtral", 20, 7, **settings).record
    table = generation_report(found).tables[3]
    assert table.title.startswith("Mixture of experts: 3 layers, 2 of 4")
    numbers = {row.cells[0]: row.cells[1] for row in table.rows}
    assert numbers["Active parameters"] == found.active_params
    assert "MACs of shared experts" not in numbers
