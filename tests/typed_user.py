# mypy: disallow-any-expr
"""A user's script, which mypy checks and nobody runs: no answer of archscope is of type Any."""

from __future__ import annotations

from torch import nn, zeros
from typing_extensions import assert_type

import archscope


def counted() -> None:
    net = nn.Linear(4, 2)
    summary = archscope.summary(net, zeros(1, 4))
    assert_type(summary, archscope.Summary)
    assert_type(summary.total.macs, int)
    assert_type(summary.layers[0], archscope.Layer)
    several = archscope.summary(["lenet", "res*"], sort="macs").record
    assert_type(several[0].analysis, archscope.Analysis)
    assert_type(archscope.explain("lenet", "conv1").record, archscope.Analysis)
    assert_type(archscope.formula("lenet").record.params, int)
    assert_type(archscope.graph("lenet").record.analysis, archscope.Analysis)
    assert_type(archscope.models("res*").record, tuple[str, ...])
    print(archscope.receptive_field("lenet").record, archscope.load("run.json").record)


def side_by_side() -> None:
    compared = archscope.compare("lenet", "lenet5", time=True, device="cpu")
    assert_type(compared.record[0].analysis, archscope.Analysis)
    assert_type(archscope.verify("lenet").passed, bool)
    assert_type(archscope.verify("lenet", all=False).record[0].passed, bool)
    print(archscope.diff("lenet", "lenet5").record[0].new)


def trained() -> None:
    assert_type(archscope.memory("lenet").record.peak.parameters, int)
    print(archscope.generate("hf:gpt2", prompt=8, tokens=2).record)
    print(archscope.signal("lenet").record, archscope.distribute("lenet", plan="fsdp").record)


def timed() -> None:
    assert_type(archscope.profile("lenet"), archscope.Answer[archscope.Profile])
    several = archscope.profile("lenet", batch=[1, 2]).record
    assert_type(several, tuple[archscope.Profile, ...])
    assert_type(archscope.profile("lenet", max_batch=True).record.batch, int)
    assert_type(archscope.trace("run.json").record, archscope.Profile)
    assert_type(archscope.trace(["a.json", "b.json"]).record[0], archscope.Profile)


def predicted() -> None:
    assert_type(archscope.predict("lenet", device="t4"), archscope.Predicted)
    assert_type(archscope.predict(["lenet", "lenet5"], device="t4").record[0].seconds, float)
    assert_type(archscope.predict("lenet", device=["t4", "h100"]).record[0].seconds, float)
    assert_type(archscope.predict(["run.json"], fit=True), archscope.Fitted)


def swept() -> None:
    outcomes = archscope.sweep("lenet", {"batch": [1, 2]}).record
    if outcomes[0].total is not None:
        assert_type(outcomes[0].total.macs, int)
    groups = archscope.sweep_groups([1, 2], time=True).record
    assert_type(groups.counted("none")[0].width, int)
    assert_type(archscope.check("budget.toml").record[0].passed, bool)
    print(archscope.merge("1.jsonl", "2.jsonl").record)


def here() -> None:
    assert_type(archscope.cache().record[0].entries, int)
    assert_type(archscope.recorder(), str)
