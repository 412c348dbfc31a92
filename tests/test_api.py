"""The same answers from Python as from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import archscope


def test_every_public_name_is_there() -> None:
    for name in archscope.__all__:
        assert getattr(archscope, name) is not None
    assert set(archscope.__all__) <= set(dir(archscope))
    with pytest.raises(AttributeError, match="no attribute 'sumary'"):
        archscope.sumary  # noqa: B018


def test_a_summary_saves_and_is_read_again(tmp_path: Path) -> None:
    counted = archscope.summary("lenet")
    counted.save(str(tmp_path / "net.json"), str(tmp_path / "net.md"))
    assert archscope.summary(str(tmp_path / "net.json")).total == counted.total
    assert "61,706" in (tmp_path / "net.md").read_text()


def test_networks_side_by_side() -> None:
    result = archscope.compare("lenet", "lenet5")
    assert "lenet5" in str(result)
    assert "<table" in result._repr_html_()
    with pytest.raises(archscope.ArchscopeError):
        archscope.compare("lenet")


def test_the_arithmetic_of_a_layer() -> None:
    assert "1·6·28·28·1·5·5 = 117,600" in str(archscope.explain("lenet", "conv1"))


def test_a_closed_form_in_the_batch() -> None:
    assert str(archscope.formula("lenet")).count("416520·N") == 1


def test_memory_is_predicted() -> None:
    predicted = archscope.memory("lenet", batch=8, optimizer="adam")
    assert predicted.record.peak.parameters == 4 * 61_706
    assert "241 KiB" in str(predicted)


def test_a_profile_writes_nothing_of_its_own() -> None:
    """In a process of its own: the profiler's library writes past Python's streams."""
    code = """if True:
        import torch, archscope
        from archscope.measure.sampling import StoppingRule
        from archscope.measure.session import Plan
        rule = StoppingRule(max_seconds=0.05)
        assert archscope.profile("lenet", plan=Plan(rule=rule)).record.layers
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
