"""Who may import whom, and what a command must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import archscope

PACKAGE = Path(archscope.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


LIBRARIES: dict[str, set[str]] = {
    "saved": {"platformdirs"},
    "process": {"torch"},
    "zoo": {"torch"},
    "resolve": {
        "torch", "torchvision", "timm", "transformers", "diffusers", "huggingface_hub",
    },
    "analysis": {"torch"},
    "latency": {"numpy"},
    "measure": {"torch"},
    "collectives": {"torch"},
    "peers": {"torch", "fvcore", "torchinfo", "ptflops", "thop", "calflops", "torchprofile"},
    "ask": {"torch", "tomli"},
    "engines": {"torch", "ray"},
    "render": {"rich", "tabulate", "matplotlib"},
}  # fmt: skip
"""The libraries that each room imports, besides the standard one; every other room none.

`api`, `cli` and the package's own two files may import everything. Which room may import which is
written in `pyproject.toml`, and `lint-imports` checks it with all circles.
"""

FREE = {"api", "cli", "__init__", "__main__"}

STANDARD = {*sys.stdlib_module_names, "tomllib"}  # which Python 3.10 lacks

TORCH_FREE = {"analysis/ops.py", "analysis/rules.py"}


def imported(source: str) -> set[str]:
    """Top-level libraries that a file imports, anywhere in it, but not for types only."""
    found: set[str] = set()
    tree = ast.parse(source)
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            names = [name.value for name in node.args if isinstance(name, ast.Constant)]
        else:
            continue
        found |= {name.partition(".")[0] for name in names}
    return found - {"archscope"}


def trespasses(room: str, source: str) -> set[str]:
    """What a file of this room imports and may not."""
    if room in FREE:
        return set()
    return imported(source) - LIBRARIES.get(room, set()) - STANDARD


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_the_libraries_of_its_room(path: Path) -> None:
    source = path.read_text()
    assert trespasses(room_of(path), source) == set()
    if str(path.relative_to(PACKAGE)) in TORCH_FREE:
        assert "torch" not in imported(source)


@pytest.mark.parametrize("room", LIBRARIES)
def test_a_room_imports_all_that_it_may(room: str) -> None:
    used = set[str]().union(*(imported(p.read_text()) for p in FILES if room_of(p) == room))
    assert LIBRARIES[room] - used == set()


@pytest.mark.parametrize(
    ("room", "line", "trespass"),
    [
        ("analysis", "import matplotlib.pyplot", "matplotlib"),
        ("records", "import torch", "torch"),
        ("study", "def f():\n    import torch", "torch"),
        ("zoo", 'importlib.import_module("torchvision.models")', "torchvision"),
    ],
)
def test_the_check_bites(room: str, line: str, trespass: str) -> None:
    assert trespasses(room, line) == {trespass}


def test_rooms_stand_on_floors_and_no_files_import_each_other_in_a_circle() -> None:
    importlinter = pytest.importorskip("importlinter.cli")
    config = PACKAGE.parent / "pyproject.toml"
    assert importlinter.lint_imports(config_filename=str(config), no_cache=True) == 0


def test_imports_for_types_only_are_free() -> None:
    assert trespasses("records", "if TYPE_CHECKING:\n    import torch") == set()


HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "rich", "fvcore", "sympy")


def loaded(code: str) -> set[str]:
    """The heavy libraries in memory after some code, run in a process of its own."""
    report = f"import sys\n{code}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    ).stdout
    return set(ast.literal_eval(output.splitlines()[-1]))


def test_importing_archscope_loads_nothing_heavy() -> None:
    assert loaded("import archscope") == set()


def test_help_loads_nothing_heavy() -> None:
    assert loaded("from archscope.cli import run; run(['--help'])") == set()


def test_a_network_of_the_zoo_needs_no_torchvision() -> None:
    heavy = loaded("from archscope.cli import run; run(['summary', 'lenet'])")
    assert heavy & {"torchvision", "pandas", "matplotlib", "fvcore", "sympy"} == set()
