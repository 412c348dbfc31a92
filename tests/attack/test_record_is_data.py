"""No file runs code: what a record or a budget names is built only where a library defines it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import archscope
from archscope.cli import run
from tests.attack.figures import noted

CODE = """
from pathlib import Path
from os import system
from shutil import rmtree
from subprocess import run
from functools import partial

from torch import nn

Path(__file__).with_name("ran").touch()
remove = partial(rmtree, ignore_errors=True)


def made(path=""):
    return nn.Linear(2, 2)


class Net(nn.Linear):
    def __init__(self, width=2):
        super().__init__(2, width)


class Image(nn.Conv2d):
    def __init__(self, width=2):
        super().__init__(1, width, 3)
"""

COMMANDS = (
    ["formula", "{}"],
    ["sweep", "{}", "batch=1,2"],
    ["verify", "{}"],
    ["receptive-field", "{}"],
    ["memory", "{}"],
    ["profile", "{}"],
    ["signal", "{}"],
    ["sweep-groups", "1,2", "--base", "{}"],
)

NAMES = (
    ("os:system", {"command": "touch ran"}),
    ("posix:system", {"command": "touch ran"}),
    ("builtins:exec", {}),
    ("subprocess:run", {"args": "touch ran"}),
    ("shutil:rmtree", {"path": "precious"}),
    ("evil.py:Net", {}),
    ("./evil.py:Net", {}),
    ("../here/evil.py:Net", {}),
    ("evil:Net", {}),
    ("torch.nn:Linear", {"in_features": "2", "out_features": "2"}),
    ("torch:load", {"f": "evil.pth"}),
    ("hf:./evil", {}),
    ("diffusers:./evil", {}),
    ("timm:hf-hub:owner/evil", {}),
    ("timm:resnet18/../evil", {}),
    ("timm:resnet18", {"checkpoint_path": "evil.pth"}),
    ("timm:resnet18", {"pretrained_cfg": "{'file': 'evil.pth'}"}),
    ("timm:resnet18", {"cache_dir": "evil"}),
    ("timm:resnet18", {"act_layer": "os:system"}),
    ("resnet18", {"weights": "DEFAULT"}),
    ("resnet18", {"norm_layer": "evil.py:Net"}),
    ("resnet18", {"num_classes": "99999999999999999999"}),
    ("resnet18", {"replace_stride_with_dilation": "[b'a']"}),
    ("other.json", {}),
    ("", {}),
)


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """A folder with a record `r.json` of LeNet and a module that leaves a trace when it runs."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "evil.py").write_text(CODE, encoding="utf-8")
    (folder / "precious").mkdir()
    assert run(["summary", "lenet", "-o", "r.json"]) == 0
    capsys.readouterr()
    return folder


def rename(model: str, keywords: dict[str, str], **changed: object) -> None:
    record = json.loads(Path("r.json").read_text(encoding="utf-8"))
    record |= {"model": model, "keywords": [*map(list, keywords.items())], **changed}
    Path("bad.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture
def timm(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for timm, which leaves the same trace as `evil.py` when it builds a network."""
    library = SimpleNamespace(
        list_models=lambda: ["resnet18"],
        is_model=lambda name: name == "resnet18",
        create_model=lambda name, **keywords: (here / "ran").touch(),
    )
    monkeypatch.setitem(sys.modules, "timm", library)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(("model", "keywords"), NAMES)
def test_a_record_runs_nothing(
    here: Path, model: str, keywords: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rename(model, keywords)
    for command in COMMANDS:
        assert run([word.format("bad.json") for word in command]) == 2, command
        told = capsys.readouterr().err
        assert told.startswith("archscope: bad.json: "), (command, told)
        assert told.count("\n") == 1
    noted("injections", len(COMMANDS), ran_code=(here / "ran").exists())
    assert not (here / "ran").exists()
    assert (here / "precious").exists()


def test_a_page_of_a_record_runs_nothing(here: Path) -> None:
    rename("evil.py:Net", {})
    assert run(["summary", "bad.json", "-o", "page.html"]) == 0
    assert run(["compare", "bad.json", "lenet", "-o", "page.html"]) == 0
    assert not (here / "ran").exists()


@pytest.mark.parametrize(("model", "keywords"), NAMES)
def test_a_budget_runs_nothing(
    here: Path, model: str, keywords: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keywords.items()]
    text = f'[[budget]]\nmodel = {json.dumps(model)}\nmax_macs = "1G"\n[budget.set]\n'
    Path("b.toml").write_text(text + "\n".join(lines), encoding="utf-8")
    assert run(["check", "b.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    noted("injections", 1, ran_code=(here / "ran").exists())
    assert not (here / "ran").exists()
    assert (here / "precious").exists()


def test_a_user_names_the_network_beside_the_file(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rename("elsewhere.py:Net", {"width": "3"}, input={"tensors": [{"shape": [1, 2]}]})
    assert run(["memory", "bad.json", "--model", "evil.py:Net"]) == 0
    assert (here / "ran").exists()
    budget = '[[budget]]\nmodel = "evil.py:Net"\ninput = "2"\nset = { width = 3 }\nmax_params = 9\n'
    Path("b.toml").write_text(budget, encoding="utf-8")
    assert run(["check", "b.toml"]) == 2
    assert run(["check", "b.toml", "--model", "./evil.py:Net"]) == 0  # 3·2 weights and 3 biases
    assert run(["check", "b.toml", "--model", "evil.py:made"]) == 2
    capsys.readouterr()
    assert run(["memory", "lenet", "--model", "evil.py:Net"]) == 2
    assert "goes with a saved record" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "os:system", "builtins:eval", "subprocess:run", "shutil:rmtree", "importlib:import_module",
        "evil.py:system", "evil.py:rmtree", "evil.py:run", "evil.py:Path", "evil.py:remove",
        "evil.py:partial", "evil:system",
    ],
)  # fmt: skip
def test_only_networks_are_called(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", name, "--set", "path=precious", "--input", "2"]) == 2
    assert "name an nn.Module class" in capsys.readouterr().err
    assert (here / "precious").exists()


def test_a_users_class_and_function_are_called(here: Path) -> None:
    assert run(["summary", "evil.py:Net", "--input", "2"]) == 0
    assert run(["summary", "evil.py:made", "--input", "2"]) == 0


BESIDE = (
    ["formula", "bad.json", "--input", "1x8x8"],
    ["receptive-field", "bad.json"],
    ["memory", "bad.json"],
    ["graph", "bad.json"],
    ["signal", "bad.json"],
    ["verify", "bad.json"],
    ["sweep", "bad.json", "batch=1,2"],
    ["predict", "bad.json", "--on", "a100"],
)


def test_every_command_takes_the_network_beside_a_record(here: Path) -> None:
    rename("elsewhere.py:Net", {"width": "3"}, input={"tensors": [{"shape": [1, 1, 8, 8]}]})
    for command in BESIDE:
        assert run(command) == 2, command
        assert run([*command, "--model", "evil.py:Image"]) in (0, 1), command  # tools may disagree


def test_every_function_takes_the_network_beside_a_record(here: Path) -> None:
    from torch import nn

    class Net(nn.Conv2d):
        def __init__(self, width: int = 2) -> None:
            super().__init__(1, width, 3)

    rename("elsewhere.py:Net", {"width": "3"}, input={"tensors": [{"shape": [1, 1, 8, 8]}]})
    params = 3 * 9 + 3
    assert archscope.memory("bad.json", model=Net).record.model == "Net"
    assert archscope.formula("bad.json", "1x8x8", model=Net).record.model == "Net"
    assert archscope.receptive_field("bad.json", model=Net).record is not None
    predicted = archscope.predict("bad.json", model=Net, device="a100")
    assert predicted.record.model == "Net"
    assert archscope.verify("bad.json", model=Net).record[0].model == "Net"
    assert archscope.signal("bad.json", model=Net, batch=2).record.networks[0].model == "Net"
    swept = archscope.sweep("bad.json", {"batch": [1, 2]}, model="evil.py:Image").record
    assert [point.total.params for point in swept if point.total] == [params, params]
    for refused in (archscope.formula, archscope.verify, archscope.signal):
        with pytest.raises(archscope.ArchscopeError, match="runs no code"):
            refused("bad.json")
    with pytest.raises(archscope.ArchscopeError, match="runs no code"):
        archscope.sweep("bad.json", {"batch": [1]})
    with pytest.raises(archscope.ArchscopeError, match="goes with a saved record"):
        archscope.sweep_groups([1], "lenet", model=Net)
