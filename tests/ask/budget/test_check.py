"""Budgets: what is read, what is held to a limit, and what a failure tells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import archscope
from archscope import archive
from archscope.ask.budget import check as budgets
from archscope.ask.budget.check import Outcome, check
from archscope.ask.budget.limits import load
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.quantities import LATENCY, MACS, PARAMS, TRAINING_MEMORY
from archscope.records import Analysis, BatchSweep, Environment, Measurement, Profile
from archscope.records.measured import INTERRUPTED
from archscope.render.text import terminal
from archscope.study.budget import budget_report, github, junit, plain

LENET_PARAMS, LENET_MACS = 61_706, 416_520
"""By hand: 156 + 2,416 + 48,120 + 10,164 + 850, and the products of its five layers."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lenet.json").write_text(archive.dumps(analyse(target("lenet"))))
    return tmp_path


def outcomes(folder: Path, text: str) -> tuple[Outcome, ...]:
    (folder / "budget.toml").write_text(text)
    return check(load(str(folder / "budget.toml")))


def timed_lenet(seconds: float, batch: int = 1) -> Profile:
    """A profile whose inference took this long six times, half a tenth more or less."""
    count = analyse(target("lenet", batch=batch))
    latency = Measurement((seconds,) * 6, 0.95 * seconds, 1.05 * seconds)
    phases = {"inference": latency}
    return Profile("lenet", count.input, Environment("cpu"), phases, analysis=count)


def one(folder: Path, text: str) -> Outcome:
    (found,) = outcomes(folder, f'[[budget]]\nmodel = "lenet"\n{text}\n')
    return found


@pytest.mark.parametrize(
    ("limit", "passed"),
    [
        (f"max_params = {LENET_PARAMS}", True),
        (f"max_params = {LENET_PARAMS - 1}", False),
        ('max_params = "61.706k"', True),
        ('max_macs = "0.42M"', True),
        ('max_macs = "0.41M"', False),
        ("max_macs = 0", False),
        ('max_memory = "1.1GiB"', True),
        ('max_memory = "1GiB"', False),  # what a GPU holds besides the tensors counts
        ('max_memory = "100kB"', False),
    ],
)
def test_an_absolute_limit(folder: Path, limit: str, passed: bool) -> None:
    assert one(folder, limit).passed is passed


def test_memory_is_what_archscope_memory_predicts(folder: Path) -> None:
    found = one(folder, 'max_memory = "1.1GiB"')
    assert found.value == archscope.memory("lenet").record.peak_bytes


def test_a_limit_on_layers(folder: Path) -> None:
    text = '[[budget]]\nmodel = "lenet"\n[[budget.layers]]\nmatch = "{}"\nmax_params = 1\n'
    names = [layer.name for layer in analyse(target("lenet")).layers if layer.params]
    for name in names:
        (found,) = outcomes(folder, text.format(name))
        assert found.pattern == name and not found.passed
    (all_of_them,) = outcomes(folder, text.format("*"))
    assert all_of_them.value == LENET_PARAMS


def test_growth_against_a_saved_count(folder: Path) -> None:
    """Ten more classes: 85 parameters and 84 MACs each (84 weights and a bias)."""
    grown = (
        '[[budget]]\nmodel = "lenet"\nset = { num_classes = 20 }\n'
        'baseline = "lenet.json"\nmax_growth = { params = "1%", macs = "1%" }\n'
    )
    params, macs = outcomes(folder, grown)
    assert (params.value, params.limit) == (LENET_PARAMS + 850, 62_323)  # of 62,323.06
    assert (macs.value, macs.limit) == (LENET_MACS + 840, 420_685)  # of 420,685.2
    assert (params.passed, macs.passed) == (False, True)
    assert len(params.layers) == 1 and params.layers[0].endswith("+850")
    assert "1 % over 61,706" in params.sentence


def test_one_share_is_for_everything_that_is_counted(folder: Path) -> None:
    text = '[[budget]]\nmodel = "lenet"\nbaseline = "lenet.json"\nmax_growth = "0%"\n'
    found = outcomes(folder, text)
    assert [outcome.quantity.option for outcome in found] == ["params", "macs", "activations"]
    assert all(outcome.passed for outcome in found)


def test_a_saved_record_can_be_checked(folder: Path) -> None:
    (found,) = outcomes(folder, '[[budget]]\nmodel = "lenet.json"\nmax_macs = 416520\n')
    assert found.passed and found.value == LENET_MACS
    with pytest.raises(ArchscopeError, match="is a saved record, which says nothing"):
        outcomes(folder, '[[budget]]\nmodel = "lenet.json"\nmax_memory = "1GiB"\n')


def test_a_failure_names_the_largest_layers(folder: Path) -> None:
    found = one(folder, "max_params = 5")
    assert "48,120" in found.layers[0] and "10,164" in found.layers[1]


def test_latency_is_the_median_of_an_inference(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "_measured", lambda budget, keywords: timed_lenet(0.02))
    assert one(folder, 'max_latency = "20ms"').passed
    late = one(folder, 'max_latency = "19ms"')
    assert late.sentence == "lenet: inference latency 20.0 ms, limit 19.0 ms"


def test_latency_of_a_profile_is_the_one_it_holds(folder: Path) -> None:
    """With its interval, and with what was said against it when it was measured."""
    slow, text = timed_lenet(0.02, batch=2), '[[budget]]\nmodel = "timed.json"\n'
    (folder / "timed.json").write_text(archive.dumps(replace(slow, notes=(INTERRUPTED,))))
    (found,) = outcomes(folder, text + 'max_latency = "19ms"\n')
    assert (found.value, found.verdict) == (0.02, "OVER")
    assert "inference latency: ±5.0 % (95 %)." in notes((found,))
    assert INTERRUPTED in notes((found,))
    assert plain([found])[0]["half_width"] == pytest.approx(0.05)

    several = BatchSweep((timed_lenet(0.01), slow))
    (folder / "timed.json").write_text(archive.dumps(several))
    (found,) = outcomes(folder, text + 'batch = 2\nmax_latency = "20ms"\n')
    assert found.passed and found.value == 0.02
    for limit in ('max_latency = "20ms"', "max_params = 1"):
        with pytest.raises(ArchscopeError, match="holds batches 1, 2; write batch = 1"):
            outcomes(folder, text + limit)
    with pytest.raises(ArchscopeError, match=r"lenet\.json: holds no inference latency"):
        outcomes(folder, '[[budget]]\nmodel = "lenet.json"\nmax_latency = "1s"\n')


def test_a_latency_of_few_runs_says_so(folder: Path) -> None:
    few = Measurement((0.02,) * 5, 0.02, 0.02)
    profile = replace(timed_lenet(0.02), phases={"inference": few})
    (folder / "timed.json").write_text(archive.dumps(profile))
    (found,) = outcomes(folder, '[[budget]]\nmodel = "timed.json"\nmax_latency = "1s"\n')
    assert "too few runs for an interval" in notes((found,))
    assert plain([found])[0]["half_width"] is None


def test_a_device_that_is_not_there_is_told_with_file_and_key(folder: Path) -> None:
    text = '[[budget]]\nmodel = "lenet"\ndevice = "cuda:99"\nmax_latency = "1s"\n'
    with pytest.raises(ArchscopeError) as caught:
        outcomes(folder, text)
    told = str(caught.value)
    assert told.startswith(f"{folder / 'budget.toml'}: lenet, device cuda:99: this machine has")
    assert told.endswith('; write device = "cpu"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "budget: is missing; begin with [[budget]]"),
        ("x = ", "is not valid TOML"),
        ("budgets = 1", "budgets: unknown key; did you mean budget?"),
        ("[resnet18]\nparams = 1", 'resnet18: unknown key; write [[budget]], and in it model = "'),
        ("budget = 1", "budget: is not a list of tables; write [[budget]]"),
        ("[[budget]]\nmax_macs = 1", "budget 1, model: is missing"),
        ("[[budget]]\nmodel = 3", "budget 1, model: 3 is not text"),
        ('[[budget]]\nmodel = "lenet"', "budget 1: limits nothing"),
        ('[[budget]]\nmodel = "lenet"\nmax_mac = 1', "budget 1, max_mac: unknown key; did you"),
        ('[[budget]]\nmodel = "lenet"\nmax_macs = "4 apples"', "max_macs: '4 apples' is not a"),
        ('[[budget]]\nmodel = "lenet"\nmax_macs = true', "max_macs: True is not a quantity"),
        ('[[budget]]\nmodel = "lenet"\nmax_macs = -1', "max_macs: -1 is not a quantity"),
        ('[[budget]]\nmodel = "lenet"\nmax_growth = "2%"', "max_growth: has no baseline"),
        (
            '[[budget]]\nmodel = "lenet"\nmax_latency = "20"',
            "max_latency: '20' has no unit; write it like \"20ms\"",
        ),
        ('[[budget]]\nmodel = "lenet"\nmax_latency = 20', "max_latency: 20 has no unit"),
        (
            '[[budget]]\nmodel = "lenet"\nmax_memory = "5 "',
            "max_memory: '5 ' has no unit; write it like \"3GiB\"",
        ),
        ('[[budget]]\nmodel = "lenet"\nmax_activations = "1e6"', "max_activations: '1e6' has no"),
        (
            '[[budget]]\nmodel = "lenet"\n[[budget.layers]]\nmatch = "zzz*"\nmax_macs = 1',
            'match = "zzz*": matches no layer of lenet',
        ),
        (
            '[[budget]]\nmodel = "lenet"\ninput = "3x5x5"\nmax_macs = 1',
            'write input = "1x28x28"',
        ),
        ('[[budget]]\nmodel = "lenet"\nbatch = 0\nmax_macs = 1', "batch: 0 is not a batch size"),
        (
            '[[budget]]\nmodel = "lenet"\nbaseline = "lenet.json"\nmax_growth = "much"',
            "max_growth: 'much' is not a share",
        ),
        (
            '[[budget]]\nmodel = "lenet"\n[[budget.layers]]\nmatch = "*"\nmax_latency = "1s"',
            "budget 1, layers 1, max_latency: unknown key",
        ),
        (
            '[[budget]]\nmodel = "lenet"\n[[budget.layers]]\nmax_macs = 1',
            "budget 1, layers 1, match: is missing",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(
    folder: Path, text: str, message: str
) -> None:
    with pytest.raises(ArchscopeError) as caught:
        outcomes(folder, text)
    told = str(caught.value)
    assert told.startswith(str(folder / "budget.toml")) and message in told
    assert caught.value.remedy and "\n" not in told


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match="cannot be read"):
        load(str(tmp_path / "none.toml"))


def test_a_glob_that_matches_nothing_is_a_mistake(folder: Path) -> None:
    text = '[[budget]]\nmodel = "lenet"\n[[budget.layers]]\nmatch = "none.*"\nmax_macs = 1\n'
    with pytest.raises(ArchscopeError, match="matches no layer of lenet"):
        outcomes(folder, text)


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ("empty.json", r"empty\.json: this profile holds no count"),
        ("lenet", "is not a saved record"),
    ],
)
def test_a_baseline_without_a_count_is_told_by_its_name(
    folder: Path, baseline: str, told: str
) -> None:
    profile = Profile("lenet", analyse(target("lenet")).input, Environment("cpu"))
    (folder / "empty.json").write_text(archive.dumps(profile))
    with pytest.raises(ArchscopeError, match=told) as caught:
        one(folder, f'baseline = "{baseline}"\nmax_growth = "2%"')
    assert "Profile(" not in str(caught.value)


def test_a_baseline_on_another_input_is_a_mistake(folder: Path) -> None:
    with pytest.raises(ArchscopeError, match="was counted on"):
        one(folder, 'batch = 2\nbaseline = "lenet.json"\nmax_growth = "2%"')


HOSTILE = Outcome("a<b>&\n\x00💥::error", MACS, 5, 4, 'x"%,:*', "", ("l\r\n1 5",))
KEPT = Outcome("lenet", PARAMS, 1, 2)


def test_annotations_are_one_line_a_failure() -> None:
    text = github((HOSTILE, KEPT), "a,b:c%\n.toml")
    assert text.startswith("::error file=a%2Cb%3Ac%25%0A.toml,title=archscope check::")
    assert text.count("\n") == 1 and "%0D%0A" in text


def test_junit_is_well_formed_whatever_the_names() -> None:
    suite = ElementTree.fromstring(junit((HOSTILE, KEPT)))
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failures = [case.find("failure") for case in suite]
    assert failures[0] is not None and failures[1] is None
    assert "limit 4" in str(failures[0].get("message"))


def test_plain_values_hold_everything() -> None:
    (row,) = plain((KEPT,))
    assert row["passed"] is True and (row["value"], row["limit"]) == (1, 2)


def test_a_record_without_layers_of_its_own_is_no_traceback(tmp_path: Path) -> None:
    empty = Analysis("empty", analyse(target("lenet")).input, ())
    (tmp_path / "empty.json").write_text(archive.dumps(empty))
    with pytest.raises(ArchscopeError, match="matches no layer"):
        outcomes(tmp_path, '[[budget]]\nmodel = "empty.json"\nmax_macs = 1\n')


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """A file of several batches, without the measuring."""
    counts = (analyse(target("lenet", batch=batch)) for batch in (2, 4))
    profiles = (Profile("lenet", c.input, Environment("cpu"), analysis=c) for c in counts)
    path = tmp_path / "several.json"
    path.write_text(archive.dumps(BatchSweep(tuple(profiles))))
    return path


def test_batch_chooses_from_a_file_of_several(several: Path) -> None:
    text = f'[[budget]]\nmodel = "{several.name}"\nmax_macs = 1\n'
    with pytest.raises(ArchscopeError, match=r"several.json: holds batches 2, 4; write batch = 2"):
        outcomes(several.parent, text)
    with pytest.raises(ArchscopeError, match=r"holds batches 2, 4, not 3; write batch = 2"):
        outcomes(several.parent, text + "batch = 3\n")
    (found,) = outcomes(several.parent, text + "batch = 4\n")
    assert found.value == 4 * LENET_MACS


def test_a_baseline_of_several_batches_is_read_at_the_network_s(several: Path) -> None:
    text = f'[[budget]]\nmodel = "lenet"\nbaseline = "{several.name}"\nmax_growth = "0%"\n'
    assert all(outcome.passed for outcome in outcomes(several.parent, text + "batch = 2\n"))
    with pytest.raises(ArchscopeError, match=r"holds batches 2, 4, not 1; write batch = 2"):
        outcomes(several.parent, text)


def notes(found: tuple[Outcome, ...]) -> str:
    report = budget_report(found)
    (table,) = report.tables
    return " ".join((report.answer, *table.notes))


def test_one_limit_is_spoken_of_in_the_singular() -> None:
    assert notes((KEPT,)) == "The limit is met."
    assert notes((KEPT, KEPT)) == "All 2 limits are met."
    assert "1 of 1 limit exceeded: lenet parameters 2, limit 1." in notes(
        (Outcome("lenet", PARAMS, 2, 1),)
    )


def test_the_first_line_names_the_worst_failures_first() -> None:
    """One and a half times the limit on layers, before a hundredth over it."""
    growth = Outcome("net", MACS, 303, 300, allowance="2 % over 294")
    part = Outcome("net", PARAMS, 15, 10, "layer4.*")
    report = budget_report((growth, part, KEPT))
    assert report.answer == (
        "2 of 3 limits exceeded: net parameters of layer4.* 15, limit 10; "
        "net MACs, growth 303, limit 300."
    )
    many = tuple(Outcome("net", PARAMS, over, 1) for over in (2, 3, 4, 5))
    assert "parameters 2," not in (answer := budget_report(many).answer)
    assert answer.endswith("; and 1 more.")


def test_layers_and_growth_stay_where_columns_leave() -> None:
    """The limit on four layers, and that on growth, are rows of their own at every width."""
    limits = (
        Outcome("resnet50", PARAMS, 25_557_032, 26_000_000),
        Outcome("resnet50", PARAMS, 25_557_032, 26_068_172, allowance="2 % over 25,557,032"),
        Outcome("resnet50", PARAMS, 14_964_736, 1_000_000, "layer4.*"),
    )
    (table,) = budget_report(limits).tables
    lines = terminal(table, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert any("growth" in line for line in lines) and any("layer4.*" in line for line in lines)


def test_an_absolute_limit_names_the_largest_though_there_is_a_baseline(folder: Path) -> None:
    text = (
        '[[budget]]\nmodel = "lenet"\nmax_params = 5\nbaseline = "lenet.json"\nmax_growth = "1%"\n'
    )
    assert "48,120" in outcomes(folder, text)[0].layers[0]


def test_one_above_its_limit_shows_by_how_much() -> None:
    (table,) = budget_report((Outcome("lenet", PARAMS, 61_706, 61_705),)).tables
    assert table.column("left") == [-1]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome("m", MACS, 61_706, 61_705), "m: MACs 61,706, limit 61,705"),
        (Outcome("m", MACS, 102, 101.9), "m: MACs 102.0, limit 101.9"),
        (
            Outcome("m", TRAINING_MEMORY, 2**30 + 2**10, 2**30),
            "memory 1.000001 GiB, limit 1.000000 GiB",
        ),
        (Outcome("m", LATENCY, 0.02001, 0.02), "latency 20.01 ms, limit 20.00 ms"),
        (Outcome("m", LATENCY, 0.02, 0.02), "latency 20.0 ms, limit 20.0 ms"),
    ],
)
def test_a_figure_and_its_limit_never_read_the_same(outcome: Outcome, text: str) -> None:
    assert text in outcome.sentence


def test_junit_names_are_distinct_where_two_limits_meet(folder: Path) -> None:
    text = (
        '[[budget]]\nmodel = "lenet"\nmax_macs = "1G"\nbaseline = "lenet.json"\n'
        'max_growth = "2%"\n[[budget]]\nmodel = "lenet"\nbatch = 2\nmax_macs = "1G"\n'
    )
    names = [case.get("name") for case in ElementTree.fromstring(junit(outcomes(folder, text)))]
    assert len(names) == 5 == len(set(names))
    assert {"lenet: MACs", "lenet: MACs, growth", "lenet (batch 2): MACs"} <= set(names)
