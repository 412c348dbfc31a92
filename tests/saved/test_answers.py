"""An answer is kept under all that decides it, and nothing stale is ever served."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archscope
from archscope import archive, register_formula
from archscope.analysis import rules
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.resolve import user_code
from archscope.saved import answers, cache, installed

ARGUMENTS: dict[str, Any] = {"input": None, "batch": None, "keywords": {}}


pytestmark = pytest.mark.usefixtures("certain_process")


class Counted:
    """Answers with how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


def ask(compute: Callable[[], int], model: object = "net", **arguments: Any) -> int:
    """One question, in a process that knows nothing of the earlier ones."""
    answers._sources.cache_clear()
    return answers.answer("analysis", model, {**ARGUMENTS, **arguments}, compute)


def test_the_same_question_is_computed_once() -> None:
    compute = Counted()
    assert [ask(compute), ask(compute), ask(compute)] == [1, 1, 1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "other"},
        {"input": "3x32x32"},
        {"batch": 1},
        {"batch": 1.0},
        {"batch": True},
        {"batch": "1"},
        {"keywords": {"a": 1}},
        {"keywords": {"a": (1,)}},
        {"keywords": {"a": "1"}},
        {"keywords": {"b": 1}},
        {"keywords": {"a": 1, "b": 2}},
        {"keywords": {"b": 2, "a": 1}},
    ],
    ids=str,
)
def test_another_argument_misses(arguments: dict[str, Any]) -> None:
    compute = Counted()
    near = [{}, {"batch": 1}, {"batch": "1"}, {"keywords": {"a": 1}}, {"keywords": {"a": "1"}},
            {"keywords": {"a": 1, "b": 2}}]  # fmt: skip
    asked = [case for case in near if repr(case) != repr(arguments)]
    for case in asked:
        ask(compute, **case)
    assert ask(compute, **arguments) == len(asked) + 1


def test_another_kind_of_question_misses() -> None:
    compute = Counted()
    for kind in ("analysis", "memory"):
        answers.answer(kind, "net", ARGUMENTS, compute)
    assert compute.times == 2


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (object(), {}),
        (archscope, {}),
        ("package.module:factory", {}),
        ("saved.json", {}),
        ("net", {"input": object()}),
        ("net", {"keywords": {"norm_layer": print}}),
        ("timm:hf-hub:someone/net", {}),
    ],
)
def test_what_cannot_be_told_apart_is_not_kept(model: object, arguments: dict[str, Any]) -> None:
    compute = Counted()
    assert [ask(compute, model, **arguments) for _ in range(2)] == [1, 2]
    assert not Path(os.environ[cache.FOLDER_VARIABLE]).exists()


def obstacle(model: str) -> str:
    """Why a long run over a network cannot trust its journal."""
    return answers.Deciding((model, {})).obstacle()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed library of one file."""
    site = tmp_path / "site"
    package = site / "somelib"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models" / "net.py").write_text("WIDTH = 4\n")
    facts = site / "somelib-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: somelib\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(answers, "LIBRARIES", ("somelib",))
    monkeypatch.setattr(installed, "PATCHED_IN_PLACE", ("somelib",))
    return package


def test_another_version_of_a_library_misses(library: Path) -> None:
    compute = Counted()
    assert ask(compute) == ask(compute) == 1
    facts = library.parent / "somelib-1.0.dist-info" / "METADATA"
    facts.write_text(facts.read_text().replace("1.0", "1.1"))
    assert ask(compute) == 2


def test_an_edited_file_of_a_library_misses(library: Path) -> None:
    compute = Counted()
    assert ask(compute) == ask(compute) == 1
    (library / "models" / "net.py").write_text("WIDTH = 5\n")
    os.utime(library / "models" / "net.py", ns=(1, 1))
    assert ask(compute) == 2


def test_a_library_that_goes_or_comes_misses(library: Path) -> None:
    compute = Counted()
    ask(compute)
    hidden = library.parent.rename(library.parent.with_name("elsewhere"))
    sys.path_importer_cache.clear()
    assert ask(compute) == 2
    hidden.rename(library.parent)
    sys.path_importer_cache.clear()
    assert ask(compute) == 1


def test_a_library_under_development_is_not_kept(library: Path) -> None:
    facts = library.parent / "somelib-1.0.dist-info" / "direct_url.json"
    facts.write_text('{"url": "file:///src", "dir_info": {"editable": true}}')
    compute = Counted()
    assert [ask(compute), ask(compute)] == [1, 2]
    assert obstacle("lenet") == obstacle("") == "somelib is installed for development"


def test_a_library_hidden_by_a_folder_of_its_name_is_not_kept(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "front" / "somelib").mkdir(parents=True)
    (tmp_path / "front" / "somelib" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "front"))
    compute = Counted()
    assert [ask(compute), ask(compute)] == [1, 2]
    front = tmp_path / "front" / "somelib"
    assert obstacle("lenet") == f"somelib is imported from {front}, where it was not installed"


def test_an_edit_of_archscope_itself_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "archscope" / "analysis"
    source.mkdir(parents=True)
    (source / "ops.py").write_text("TWO = 2\n")
    monkeypatch.setattr(answers, "PACKAGE", tmp_path / "archscope")
    compute = Counted()
    assert ask(compute) == ask(compute) == 1
    (source / "ops.py").write_text("TWO = 3\n")
    assert ask(compute) == 2
    monkeypatch.setattr(answers, "__version__", "99")
    assert ask(compute) == 3


def test_a_source_that_changes_while_it_is_counted_is_not_kept(library: Path) -> None:
    def compute() -> int:
        (library / "models" / "net.py").write_text("WIDTH = 40\n")
        return 4

    assert ask(compute) == 4
    (library / "models" / "net.py").write_text("WIDTH = 4\n")
    again = Counted()
    assert ask(again) == 1 and again.times == 1


def test_a_users_file_and_its_imports_decide(tmp_path: Path) -> None:
    (tmp_path / "blocks.py").write_text("WIDTH = 4\n")
    (tmp_path / "net.py").write_text("from blocks import WIDTH\n")
    name = f"{tmp_path / 'net.py'}:Net"
    compute = Counted()
    assert ask(compute, name) == ask(compute, name) == 1
    (tmp_path / "blocks.py").write_text("WIDTH = 5\n")
    assert ask(compute, name) == 2
    (tmp_path / "blocks.py").write_text("import os\nWIDTH = len(os.environ)\n")
    assert [ask(compute, name), ask(compute, name)] == [3, 4]


def test_a_registered_formula_is_always_applied() -> None:
    compute = Counted()
    ask(compute)
    register_formula("aten::mm", lambda *arguments, out: 1)
    assert [ask(compute), ask(compute)] == [2, 3]
    rules.REGISTERED.clear()
    assert ask(compute) == 1


def test_after_a_users_code_has_run_nothing_is_kept_or_looked_up() -> None:
    compute = Counted()
    ask(compute)
    user_code.USER_CODE.add("net.py")
    assert [ask(compute), ask(compute)] == [2, 3]


def test_a_library_user_is_trusted_until_torch_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted()
    answers.use("before torch")
    monkeypatch.setitem(sys.modules, "torch", sys)  # whether or not it is there
    assert [ask(compute), ask(compute)] == [1, 2]
    monkeypatch.delitem(sys.modules, "torch")
    assert [ask(compute), ask(compute)] == [3, 3]


def test_no_cache_neither_reads_nor_writes() -> None:
    compute = Counted()
    ask(compute)
    answers.use("never")
    assert [ask(compute), ask(compute)] == [2, 3]
    answers.use("always")
    assert ask(compute) == 1


def test_one_process_keeps_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_PER_PROCESS", 3)
    for batch in range(5):
        ask(Counted(), batch=batch)
    shelf = answers.store()
    assert shelf is not None and shelf.contents().entries == 3


def test_an_answer_that_cannot_be_read_is_computed_anew() -> None:
    shelf = answers.store()
    name = answers.key("analysis", "lenet", ARGUMENTS)
    assert shelf is not None and name is not None
    for text in ("", "{", '{"archscope": "analysis", "schema": 1, "model": 3}', "[" * 99_999):
        shelf.put(name, text)
        found = answers.record("analysis", "lenet", ARGUMENTS, lambda: analyse(target("lenet")))
        assert found == analyse(target("lenet"))
        assert shelf.get(name) == archive.compact(found)


def test_a_kept_count_equals_a_new_one() -> None:
    first = analyse(target("lenet", batch=2), backward=True)
    shelf = answers.store()
    assert shelf is not None and shelf.contents().entries == 1
    again = analyse(target("lenet", batch=2), backward=True)
    answers.use("never")
    assert first == again == analyse(target("lenet", batch=2), backward=True)
    assert first is not again


def test_a_count_that_values_decided_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) if x.sum() > 0 else x\n"
    )
    analyse(
        target(
            f"{tmp_path / 'net.py'}:Net", input="3", keywords={"in_features": 3, "out_features": 3}
        )
    )
    shelf = answers.store()
    assert shelf is not None and shelf.contents().entries == 0


REPORT = """
import sys
from archscope.cli import main
try:
    main(sys.argv[1:])
finally:
    print(sorted({"torch", "torchvision", "pandas"} & sys.modules.keys()))
"""


def run(*arguments: str) -> list[str]:
    """Lines of a command run in a process of its own; the last tells what it imported."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["lenet", "resnet18"])
def test_the_second_run_prints_the_same_without_torch(name: str) -> None:
    """Of the zoo, and of torchvision, whose import changes the environment."""
    first, second = run("summary", name), run("summary", name)
    assert first[:-1] == second[:-1]
    assert "torch" in json.loads(first[-1].replace("'", '"'))
    assert second[-1] == "[]"
    assert "torch" in run("summary", name, "--no-cache")[-1]
