"""The same answers from Python as from the command line."""

from __future__ import annotations

import doctest
import inspect
import pathlib
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from inspect import isfunction
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope import cli
from archscope.api.answer import Answer
from archscope.api.spelling import FUNCTIONS_HERE, RESULTS_HERE, SPELT_HERE
from archscope.ask.groups import times
from archscope.ask.profile import measured
from archscope.ask.profile.plan import PlanSettings
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan
from archscope.records import Environment, Measurement


def test_every_public_name_is_there() -> None:
    for name in archscope.__all__:
        assert getattr(archscope, name) is not None
    assert set(archscope.__all__) <= set(dir(archscope))
    with pytest.raises(AttributeError, match="no attribute 'sumary'"):
        archscope.sumary  # noqa: B018


def test_a_summary_saves_and_is_read_again(tmp_path: Path) -> None:
    counted = archscope.summary("lenet")
    counted.save(str(tmp_path / "net.json"), str(tmp_path / "net.md"))
    assert archscope.summary(str(tmp_path / "net.json")).analysis == counted.analysis
    assert "61,706" in (tmp_path / "net.md").read_text()


def test_a_summary_s_parts_are_those_of_its_count() -> None:
    counted = archscope.summary("lenet")
    assert counted.layers == counted.analysis.layers
    assert counted.coverage == counted.analysis.coverage and counted.coverage.counted
    assert counted.total.macs == sum(layer.macs for layer in counted.layers)
    frame = counted.to_frame()
    assert list(frame["macs"]) == [layer.macs for layer in counted.layers]


def test_networks_side_by_side() -> None:
    result = archscope.compare("lenet", "lenet5")
    assert "lenet5" in str(result)
    page = result._repr_html_()
    assert page.count("<table") == len(result.report.tables) > 1
    assert "lenet5" in page and "lenet5" in repr(result)
    with pytest.raises(archscope.ArchscopeError):
        archscope.compare("lenet")


def test_the_arithmetic_of_a_layer() -> None:
    text = str(archscope.explain("lenet", "conv1"))
    assert "1·6·28·28·1·5·5 = 117,600" in text
    assert "conv2" not in text


def test_a_closed_form_in_the_batch() -> None:
    assert str(archscope.formula("lenet")).count("416,520·N") == 2  # the answer and its row


ASKING: dict[str, Callable[[Any], Any]] = {
    "summary": lambda size: archscope.summary("lenet", batch=size),
    "summary, input": lambda size: archscope.summary("lenet", "1x28x28", batch=size),
    "compare": lambda size: archscope.compare("lenet", "lenet5", batch=size),
    "memory": lambda size: archscope.memory("lenet", batch=size),
    "profile": lambda size: archscope.profile("lenet", batch=size),
}


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING.keys())
@pytest.mark.parametrize("size", [0, -1, 1.5, True, 10**20])
def test_a_batch_is_a_whole_number_that_pytorch_can_hold(
    asking: Callable[[Any], Any], size: Any
) -> None:
    with pytest.raises(archscope.ArchscopeError, match=f"^batch={re.escape(repr(size))}: "):
        asking(size)


@pytest.mark.parametrize("asking", [archscope.summary, archscope.memory, archscope.profile])
def test_an_input_that_the_network_does_not_take_is_not_converted_in_silence(
    asking: Callable[[Any, Any], Any],
) -> None:
    """LeNet's weights are float32; a network in double takes both."""
    with pytest.raises(archscope.ArchscopeError, match="double"):
        asking("lenet", "1x28x28:float64")


def test_a_network_in_double_takes_plain_and_double_inputs() -> None:
    for given in ("4", "4:float64"):
        assert archscope.summary(nn.Linear(4, 2).double(), given).total.macs == 8
        assert archscope.memory(nn.Linear(4, 2).double(), given).record.peak.parameters == 10 * 8


def test_a_tensor_without_samples_may_be_given() -> None:
    assert archscope.summary("lenet", torch.zeros(0, 1, 28, 28)).total.macs == 0


def test_memory_is_predicted() -> None:
    predicted = archscope.memory("lenet", batch=8, optimizer="adam")
    assert predicted.record.peak.parameters == 4 * 61_706
    assert predicted.record.peak.optimizer == 2 * 4 * 61_706
    assert "241 KiB" in str(predicted)


class Trained(nn.Module):
    """81 + 9 multiply-accumulates a position, the second layer in training alone."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.first(x)
        return self.second(y) if self.training else y


def macs(summary: Any) -> int:
    return int(summary.total.macs)


def compared(*models: Any, **options: Any) -> object:
    """The MACs of the first network of a comparison."""
    frame = archscope.compare(*models, **options).to_frame().set_index("name")
    return frame["macs"].iloc[0]


ARGUMENTS: dict[str, tuple[Callable[[], object], object]] = {
    "summary input": (lambda: macs(archscope.summary(Trained, "3x4x4")), 81 * 16),
    "summary tensor": (lambda: macs(archscope.summary(Trained, torch.zeros(2, 3, 4, 4))), 81 * 32),
    "summary backward": (
        lambda: archscope.summary(Trained, "3x4x4", True).total.macs_backward,
        81 * 16,
    ),
    "summary batch": (lambda: macs(archscope.summary(Trained, "3x4x4", batch=5)), 5 * 81 * 16),
    "summary train": (lambda: macs(archscope.summary(Trained, "3x4x4", train=True)), 90 * 16),
    "summary train_only": (
        lambda: archscope.summary(Trained, "3x4x4", train_only="second").total.trainable_params,
        9,
    ),
    "summary keywords": (lambda: archscope.summary(Trained, "3x4x4", bias=True).total.params, 93),
    "compare input": (
        lambda: compared(Trained, Trained, input="3x5x5"),
        81 * 25,
    ),
    "compare batch": (
        lambda: compared("lenet", "lenet5", batch=3),
        3 * 416_520,
    ),
    "explain input": (
        lambda: "1·3·5·5·3·3·3 = 2,025" in str(archscope.explain(Trained, input="3x5x5")),
        True,
    ),
    "explain keywords": (
        lambda: "3 + 1)·3 = 84" in str(archscope.explain(Trained, input="3x5x5", bias=True)),
        True,
    ),
    "formula input": (
        lambda: str(archscope.formula(Trained, "3x4xW").record.macs),
        "324·N·W",
    ),
    "formula keywords": (
        lambda: archscope.formula("lenet", num_classes=2).record.params,
        61_706 - 8 * 85,
    ),
    "memory input": (
        lambda: archscope.memory(Trained, "3x5x5").record.peak.input,
        4 * 3 * 25,
    ),
    "memory batch": (
        lambda: archscope.memory(Trained, "3x5x5", batch=7).record.peak.input,
        7 * 4 * 3 * 25,
    ),
    "memory optimizer": (
        lambda: archscope.memory("lenet", optimizer="momentum").record.peak.optimizer,
        4 * 61_706,
    ),
    "memory keywords": (
        lambda: archscope.memory("lenet", num_classes=2).record.peak.parameters,
        4 * (61_706 - 8 * 85),
    ),
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_argument_changes_the_answer(argument: str) -> None:
    ask, expected = ARGUMENTS[argument]
    assert ask() == expected


def test_every_argument_of_a_profile_decides_what_is_measured() -> None:
    plan = Plan(rule=StoppingRule(max_seconds=0.01), modes=("inference",), details=False)
    default = archscope.profile("lenet", plan=plan)
    assert set(default.record.phases) == {"inference"}
    assert default.record.input.tensors[0].shape[1:] == (1, 28, 28)
    asked = archscope.profile(Trained, "3x6x5", batch=2, plan=plan, bias=True).record
    assert asked.input.tensors[0].shape == (2, 3, 6, 5)
    assert asked.keywords == (("bias", "True"),)


def test_a_list_of_batches_is_measured_batch_by_batch() -> None:
    plan = Plan(rule=StoppingRule(max_seconds=0.01), modes=("inference",), details=False)
    found = archscope.profile("lenet", batch=[2, 1], plan=plan).record
    assert [one.input.batch for one in found] == [1, 2]
    with pytest.raises(archscope.ArchscopeError, match="batch: an empty list"):
        archscope.profile("lenet", batch=[], plan=plan)
    with pytest.raises(archscope.ArchscopeError, match="max_batch: finds the batch itself"):
        archscope.profile("lenet", batch=8, max_batch=True)  # type: ignore[call-overload]


def test_the_largest_batch_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured.LargestBatch(96, 3 * 2**30, 9 * 2**30, 10 * 2**30)
    monkeypatch.setattr(measured, "largest_batch", lambda target, plan: found)
    answer = archscope.profile("lenet", max_batch=True, device="cpu", eval=True)
    assert answer.record.batch == 96
    told = "inference on cpu: batch 96 runs, with a peak of 3.00 GiB; the bound was 9.00 GiB, 90 %"
    assert told in " ".join(str(answer).split())


def test_group_counts_are_measured_beside_their_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(
        family: Any, members: Sequence[Any], plan: Plan, progress: Any
    ) -> Iterator[archscope.Profile]:
        assert plan.modes == ("training",)
        for member in members:
            seconds = {name: Measurement((member.groups,) * 6, 1, 1) for name in ("forward",)}
            analysis, here = member.analysis, Environment("cpu", ())
            yield archscope.Profile("resnet50", analysis.input, here, seconds, analysis=analysis)

    monkeypatch.setattr(times, "measured", measure)
    found = archscope.sweep_groups([1, 2], equal=["none"], time=True, device="cpu")
    assert found.record.base.analysis.input.batch == 8
    (table, *_) = found.report.tables
    keys = [column.key for column in table.columns]
    seconds = [row.cells[keys.index("forward_seconds")] for row in table.rows]
    assert seconds == [1, 2], keys
    with pytest.raises(archscope.ArchscopeError, match="device='cpu': goes with time=True"):
        archscope.sweep_groups([1, 2], device="cpu")


def test_settings_of_a_profile_are_checked_together() -> None:
    for settings, message in (
        ({"train": True, "eval": True}, "train=True eval=True: exclude each other"),
        ({"eval": True, "optimizer": "adam"}, "optimizer: updates nothing with eval=True"),
        ({"optimizer": "lion"}, "optimizer='lion': unknown optimizer"),
        ({"cuda_graph": True, "device": "cpu"}, "cuda_graph=True: needs device='cuda'"),
        ({"precision": 500}, "precision=500: is out of range"),
        (
            {"plan": Plan(modes=("inference",), details=False), "threads": 1},
            "threads=1: is a setting of the plan",
        ),
    ):
        with pytest.raises(archscope.ArchscopeError, match=message):
            archscope.profile("lenet", **settings)  # type: ignore[arg-type]
    with pytest.raises(archscope.ArchscopeError, match="width: lenet takes no such keyword"):
        archscope.profile("lenet", width=2)


def test_results_print_in_a_notebook_and_a_terminal_alike() -> None:
    result = archscope.summary("lenet")
    assert isinstance(result, Answer)
    assert repr(result) == "<Summary: lenet, 61,706 parameters, 416,520 MACs>"
    assert str(result).startswith("lenet has 61,706 parameters and takes 416,520 MACs")
    assert "61,706" in result._repr_html_() and "61,706" in str(result)


def test_a_profile_writes_nothing_of_its_own() -> None:
    """In a process of its own: the profiler's library writes past Python's streams."""
    code = """if True:
        import torch, archscope
        plan = archscope.Plan(rule=archscope.StoppingRule(max_seconds=0.05))
        assert archscope.profile("lenet", plan=plan).record.layers
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_summary_that_nobody_looks_at_makes_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    from archscope.study import summary as tables

    made = []
    report = tables.summary_report
    monkeypatch.setattr(
        tables, "summary_report", lambda found, **how: made.append(1) or report(found, **how)
    )
    found = archscope.summary("lenet")
    assert found.total.macs == 416520 and made == []  # 416,520: LeCun et al. 1998, on 28×28
    assert str(found) == str(found) and made == [1], "and makes them once"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_function_of_its_name(command: str) -> None:
    function = getattr(archscope, command.replace("-", "_"))
    assert callable(function) and "Examples:" in function.__doc__


FUNCTIONS = [name for name in archscope.__all__ if isfunction(getattr(archscope, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "generate":
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    names = {"archscope": archscope, "pathlib": pathlib}
    tests = doctest.DocTestFinder(recurse=False).find(getattr(archscope, name), name, globs=names)
    problems: list[str] = []
    for test in tests:
        doctest.DocTestRunner(verbose=False).run(test, out=problems.append)
    assert not problems, "".join(problems)


def test_the_examples_of_an_answer_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder().find(archscope.Answer, "Answer", globs={"archscope": archscope})
    run = doctest.DocTestRunner(verbose=False)
    problems: list[str] = []
    for test in tests:
        run.run(test, out=problems.append)
    assert not problems, "".join(problems)
    assert run.tries == 4  # lines of `to_frame` and `save`


def test_dir_and_help_show_the_public_names_alone() -> None:
    assert set(dir(archscope)) == {*archscope.__all__, "__version__"}
    text = pydoc.render_doc(archscope, renderer=pydoc.plaintext)
    documented = re.findall(r"^    (?:class )?(\w+)\(", text.partition("CLASSES")[2], re.MULTILINE)
    assert set(documented) - {"Exception", "BaseException", "object"} == set(archscope.__all__)
    assert "Import every name from `archscope` itself." in text.partition("PACKAGE CONTENTS")[0]


def test_shapes_as_torchinfo_takes_them() -> None:
    net = nn.Conv2d(3, 8, 3)  # 8·30·30 outputs of 3·3·3 products, for each of 2 samples
    wanted = 2 * 8 * 30 * 30 * 27
    assert archscope.summary(net, (2, 3, 32, 32)).total.macs == wanted
    assert archscope.summary(net, input_size=(2, 3, 32, 32)).total.macs == wanted
    two = nn.Bilinear(3, 4, 5)
    given = archscope.summary(two, input_size=[(2, 3), (2, 4)]).analysis.input
    assert [tensor.shape for tensor in given.tensors] == [(2, 3), (2, 4)]
    with pytest.raises(archscope.ArchscopeError, match="input_size: is another way to write input"):
        archscope.summary(net, "3x32x32", input_size=(2, 3, 32, 32))


@pytest.mark.parametrize("keyword", SPELT_HERE)
def test_what_other_tools_call_an_argument_is_answered(keyword: str) -> None:
    """`Upsample(mode=…)` is a keyword of a network, and nothing else."""
    ask = archscope.memory if keyword == "input_size" else archscope.summary
    with pytest.raises(archscope.ArchscopeError, match=f"^{keyword}: is not an argument of arch"):
        ask(nn.Linear(4, 2), (1, 4), **{keyword: 0})
    assert archscope.summary(nn.Upsample, (1, 3, 4, 4), scale_factor=2, mode="nearest").total


@pytest.mark.parametrize("given", ["1x28x28", "20:int64", (1, 1, 28, 28)])
def test_an_input_among_the_names_of_layers_is_given_by_its_keyword(given: Any) -> None:
    with pytest.raises(archscope.ArchscopeError, match=r"names of layers; write input=") as raised:
        archscope.explain("lenet", "conv1", given)
    assert repr(given) in str(raised.value)


def test_several_networks_are_rows_of_one_answer() -> None:
    found = archscope.summary(["lenet", "lenet5_*"], sort="-params", top=1)
    assert [one.label for one in found.record] == ["lenet", "lenet5_1998"]
    assert found.record[0].analysis == archscope.summary("lenet").analysis
    assert found.report.tables[0].rows[0].cells[0] == "lenet5_1998"  # 60,000 parameters: the paper
    for asking, message in {
        lambda: archscope.summary(["lenet"], depth=1): "depth: does not go with several networks",
        lambda: archscope.summary("lenet*"): r"lenet\*: is a pattern of several .* \['lenet\*'\]",
        lambda: archscope.summary("lenet", "lenet5"): "write \\['lenet', 'lenet5'\\]",
        lambda: archscope.summary(["lenett"]): "lenett: unknown network; did you mean lenet",
    }.items():
        with pytest.raises(archscope.ArchscopeError, match=message):
            asking()
    assert [one.label for one in archscope.compare("lenet", "lenet5_*").record] == [
        "lenet",
        "lenet5_1998",
    ]


@pytest.mark.parametrize("name", RESULTS_HERE)
def test_what_other_tools_call_a_result_is_answered(name: str) -> None:
    found = archscope.summary("lenet")
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; write ") as raised:
        getattr(found, name)
    place = str(raised.value).rpartition("write .")[2]
    assert eval(f"found.{place}", {"found": found}) is not None


@pytest.mark.parametrize("name", FUNCTIONS_HERE)
def test_what_other_tools_call_a_function_is_answered(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; write ") as raised:
        getattr(archscope, name)
    written = str(raised.value).rpartition("write ")[2]
    names = {"archscope": archscope, "net": nn.Linear(4, 2), "x": torch.zeros(1, 4)}
    eval(written, names)


def test_what_a_record_has_is_said_where_its_answer_lacks_it() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'peak'; write \.record\.peak"):
        archscope.memory("lenet").peak  # type: ignore[attr-defined]  # noqa: B018
    for answer, place in (
        (archscope.memory("lenet"), "record.peak.parameters"),
        (archscope.summary("lenet"), "total.macs"),
        (archscope.compare("lenet", "lenet5"), "record[0].label"),
    ):
        with pytest.raises(AttributeError, match=re.escape(f"; write .{place}")):
            getattr(answer, place.rpartition(".")[2])
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        archscope.memory("lenet").nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_device_of_a_count_is_one_of_two_kinds() -> None:
    for device in ("cuda", "cuda:1", torch.device("cuda:0"), torch.device("cpu")):
        assert archscope.summary(nn.Linear(4, 2), (1, 4), device=device).total.macs == 8
    with pytest.raises(archscope.ArchscopeError, match="device='gpu': unknown device; use cpu or"):
        archscope.summary("lenet", device="gpu")


def test_what_a_summary_prints_is_chosen() -> None:
    shown = archscope.summary("lenet", sort="macs", top=2, columns=["params"])
    assert [row.cells[0] for row in shown.report.tables[0].rows] == ["conv2", "conv1", "Total"]
    assert "10 more layers are not listed" in str(shown)
    assert "conv1" not in str(archscope.summary("resnet18", depth=0))


def test_compared_networks_have_their_own_keywords_and_labels() -> None:
    keywords = [{"num_classes": 10}, {"num_classes": 20}]
    pair = archscope.compare("lenet", "lenet", keywords=keywords, labels=["ten", "twenty"]).record
    assert [one.label for one in pair] == ["ten", "twenty"]
    assert pair[1].analysis.total.params - pair[0].analysis.total.params == 10 * 84 + 10
    with pytest.raises(archscope.ArchscopeError, match="labels: there are 1 for 2 models"):
        archscope.compare("lenet", "lenet5", labels=["one"])


def test_a_check_is_true_where_it_passes(tmp_path: Path) -> None:
    budget = tmp_path / "budget.toml"
    for limit, passed in {"61k": False, "62k": True}.items():  # lenet has 61,706
        budget.write_text(f'[[budget]]\nmodel = "lenet"\nmax_params = "{limit}"\n')
        found = archscope.check(budget)
        assert bool(found) is found.passed is passed
        assert repr(found) == f"<Checks: {'passed' if passed else 'failed'}>"


def test_a_sweep_from_python_resumes(tmp_path: Path) -> None:
    axes = {"num_classes": [10, 20]}
    journal = tmp_path / "sweep.jsonl"
    first = archscope.sweep("lenet", axes, journal=journal).record
    again = archscope.sweep("lenet", axes, journal=journal, resume=True).record
    assert first == again
    with pytest.raises(archscope.ArchscopeError, match="resume: needs a journal"):
        archscope.sweep("lenet", axes, resume=True)


FILES = {"output", "format", "chart", "size", "open"}
"""Where an answer goes: `save`, `print` and a notebook do it in Python."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["a.csv", "b.json"],
            "save(['a.csv', 'b.json']): takes paths, not a list; write save('a.csv', 'b.json')",
        ),
        (None, "save(None): takes paths, not NoneType; write one like save('net.csv')"),
        (b"a.csv", "save(b'a.csv'): takes paths, not bytes; write one like save('net.csv')"),
    ],
)
def test_an_answer_saves_to_paths_alone(
    given: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(archscope.ArchscopeError) as caught:
        archscope.summary("lenet").save(given)
    assert str(caught.value) == said and not list(tmp_path.iterdir())


def test_an_answer_saves_one_figure_at_its_size(tmp_path: Path) -> None:
    pair = archscope.compare("resnet18", "resnet34")
    path = tmp_path / "pair.svg"
    pair.save(path, chart="parameters", size=(3.5, 2.5))
    assert re.search(r'<svg [^>]*width="252pt" height="180pt"', path.read_text())  # 72 an inch
    for keywords, message in (
        ({"chart": "speed"}, "chart='speed': this report has no such chart"),
        ({"size": (0.5, 3)}, "size='(0.5, 3)': is not a width and height from 1 to 60 inches"),
        ({"size": "3x4"}, "size='3x4': is not a width and height"),
    ):
        with pytest.raises(archscope.ArchscopeError, match=f"^{re.escape(message)}"):
            pair.save(path, **keywords)  # type: ignore[arg-type]
    with pytest.raises(archscope.ArchscopeError, match=r"^chart: goes with a figure"):
        pair.save(tmp_path / "pair.csv", chart="parameters")
    assert not (tmp_path / "pair.csv").exists()


KEYWORDS = {"task", "seq", "image"}
"""Settings of the constructor, which Python passes by their names, as `--set` does."""

TERMINAL = {
    "verify": {"save"},  # figures for this project's own reports
    "check": {"json", "github", "junit"},  # where the verdicts are printed, and for whom
    "diff": {"exit-code"},
}
"""What only a command has."""

SPELT: dict[str, dict[str, str]] = {
    "summary": {"all": "unfold"},
    "sweep-groups": {"profile": "profiles"},
    "predict": {"on": "device"},
    "check": {"model": "models"},
}
"""What a function calls otherwise: `predict --on` says where a prediction holds, or a fit is
measured, which are two arguments; options that repeat are lists, with the name of one."""


def options(name: str) -> set[str]:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    return {
        max(option.opts, key=len).lstrip("-")
        for option in command.params
        if isinstance(option, click.Option)
    }


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_function_with_its_arguments(name: str) -> None:
    function = getattr(archscope, name.replace("-", "_"))
    taken = {*inspect.signature(function).parameters}
    if "measuring" in taken:
        taken |= PlanSettings.__annotations__.keys()
    if taken & {"constructor_keywords", "keywords"}:
        taken.add("set")
    wanted = options(name) - {"help"} - FILES - KEYWORDS - TERMINAL.get(name, set())
    spelt = SPELT.get(name, {})
    assert {spelt.get(option, option.replace("-", "_")) for option in wanted} <= taken


ALLOWING = [
    name
    for name in FUNCTIONS
    if "allow_memory" in inspect.signature(getattr(archscope, name)).parameters
]


@pytest.mark.parametrize("name", ALLOWING)
def test_every_function_that_takes_an_allowance_reads_it(name: str) -> None:
    ask = getattr(archscope, name)
    with pytest.raises(archscope.ArchscopeError, match=r"^allow_memory: 'lots' is not a quantity"):
        ask("lenet", "lenet", allow_memory="lots")


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "equal": (lambda: archscope.sweep_groups([1], equal=["flops"]), "equal='flops': is unknown"),  # type: ignore[list-item]
    "no view": (lambda: archscope.sweep_groups([1], equal=[]), "equal: an empty list"),
    "layout": (lambda: archscope.compare("lenet", "lenet5", layout="wide"), "layout='wide': is"),  # type: ignore[arg-type]
    "weights": (lambda: archscope.compare("lenet", "lenet5", weights="V9"), "weights='V9': is"),  # type: ignore[arg-type]
    "depth": (lambda: archscope.summary("lenet", depth=-1), "depth=-1: is out of range"),
    "top": (lambda: archscope.summary("lenet", sort="macs", top=0), "top=0: is out of range"),
    "axes": (lambda: archscope.sweep("lenet", {"batch": 4}), "axes: an axis has no list"),  # type: ignore[dict-item]
    "jobs": (lambda: archscope.sweep("lenet", {"batch": [4]}, jobs=0), "jobs=0: is out of range"),
    "a list": (lambda: archscope.compare(["lenet", "lenet5"]), "give several one after the other"),  # type: ignore[arg-type]
    "a tensor": (lambda: archscope.signal("lenet", torch.zeros(1, 4)), "a tensor of 1×4: is not a"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_a_command_refuses_python_refuses(given: str) -> None:
    ask, message = REFUSED[given]
    with pytest.raises(archscope.ArchscopeError, match=re.escape(message)):
        ask()


def test_a_shape_without_its_batch_is_recognised() -> None:
    """Torchsummary takes channels and sides alone."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    for model in (net, "resnet18"):
        with pytest.raises(archscope.ArchscopeError, match=r"did you mean input='3x32x32'\?"):
            archscope.summary(model, (3, 32, 32))


def test_what_python_leaves_to_commands_is_there() -> None:
    """An exemption is of an option that exists."""
    for exempt in (TERMINAL, SPELT):
        for name, some in exempt.items():
            assert set(some) <= options(name), name


@pytest.mark.parametrize("groups", [[0], [1.5], [True], [], ["x"], "1,two"])
def test_group_counts_are_whole_numbers_from_one(groups: Any) -> None:
    with pytest.raises(archscope.ArchscopeError, match="group count"):
        archscope.sweep_groups(groups)


def test_a_size_that_other_tools_print_is_refused() -> None:
    with pytest.raises(archscope.ArchscopeError, match=r"input_size=.*: has a size below 0"):
        archscope.summary(nn.Linear(4, 4), input_size=(-1, 4))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: archscope.predict([], device="t4"), "network: is an empty list; name a network"),
        (lambda: archscope.predict("lenet", on="t4"), "name the GPU as device='t4'"),
        (lambda: archscope.predict("lenet", device="t4", on="ray"), "on='ray': goes with fit=True"),
        (lambda: archscope.sweep("lenet", {"batch": []}), "axes: batch has an empty list"),
        (
            lambda: archscope.sweep("densenet_cifar", growth_rate=[12, 24]),
            'write sweep("densenet_cifar", {"growth_rate": [12, 24]})',
        ),
        (lambda: archscope.sweep("lenet", batch=[1, 2]), 'write sweep("lenet", {"batch": [1, 2]})'),
        (
            lambda: archscope.sweep_groups(4),
            "groups=4: is not a list of counts; give one such as [",
        ),
        (lambda: archscope.sweep_groups([]), "groups: no group count is given; give some"),
        (lambda: archscope.sweep_groups([1], model="resnet18"), "write base='resnet18'"),
        (lambda: archscope.explain("lenet", ""), "layers: an empty name"),
    ],
)
def test_a_slip_in_python_names_the_parameter_and_the_call(asked, said):
    with pytest.raises(archscope.ArchscopeError) as refused:
        asked()
    assert said in str(refused.value)


def test_what_totals_and_layers_are_called_elsewhere_is_answered() -> None:
    found = archscope.summary("lenet")
    with pytest.raises(AttributeError, match=r"no attribute 'parameters'; write \.params$"):
        found.total.parameters  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(TypeError, match="not subscriptable; write ") as raised:
        found["conv1"]
    written = str(raised.value).rpartition("write ")[2]
    (layer,) = eval(written, {"answer": found})
    assert layer.macs == 117_600  # 6 channels of 28·28 values, each of 25 products
