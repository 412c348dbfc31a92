"""Networks of the user's own: `file.py:Class` and `package.module:factory`."""

import sys
from pathlib import Path

import pytest

from archscope.errors import ArchscopeError
from archscope.resolve import network
from tests.networks import tripling

BLOCKS = "from torch import nn\n\ndef linear(width): return nn.Linear(4, width)\n"

NETS = """
from dataclasses import dataclass
import torch
from torch import nn
from blocks import linear

@dataclass
class Config:
    width: int = 3

class Net(nn.Module):
    def __init__(self, width=3, depth=2):
        super().__init__()
        if depth > 5:
            raise ValueError("at most\\n5 deep")
        self.layers = nn.ModuleList(linear(width) for _ in range(depth))

class Child(Net):
    def __init__(self, scale=1, **kwargs):
        super().__init__(width=8, **kwargs)

class Careless(nn.Module):
    def __init__(self, **ignored):
        super().__init__()

class NeedsWidth(nn.Module):
    def __init__(self, width):
        super().__init__()

class LateImport(nn.Module):
    def __init__(self):
        super().__init__()
        import late
        self.layer = late.layer()

def factory(classes=2):
    return nn.Linear(4, classes)

def number():
    return 3

finished = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
constant = 7
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    (tmp_path / "late.py").write_text("from torch import nn\ndef layer(): return nn.Linear(2, 5)\n")
    file = tmp_path / "nets.py"
    file.write_text(NETS)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return str(file)


def count(name: str, **keywords: object) -> int:
    module = network(name, **keywords).module
    assert all(p.is_meta for p in module.parameters())
    return sum(p.numel() for p in module.parameters())


def test_a_class_in_a_file_is_built_with_its_keywords(nets: str) -> None:
    assert count(f"{nets}:Net", width=10, depth=3) == 3 * (4 * 10 + 10)
    assert count(f"{nets}:Child", depth=1) == 4 * 8 + 8
    assert count(f"{nets}:factory", classes=5) == 4 * 5 + 5


def test_what_the_record_says_of_it(nets: str) -> None:
    found = network(f"{nets}:Net", width=10)
    assert (found.name, found.source, found.input) == (f"{nets}:Net", "file path", None)
    assert found.keywords == (("width", "10"),)
    assert [library for library, _ in found.versions] == ["archscope", "torch"]


def test_a_finished_network_is_copied_and_left_alone(nets: str) -> None:
    found = network(f"{nets}:finished")
    original = sys.modules[next(m for m in reversed(sys.modules) if "_nets_" in m)].finished
    assert all(p.is_meta for p in found.module.parameters())
    assert not any(p.is_meta for p in original.parameters())
    assert original.training
    assert not found.module.training
    assert not found.with_storage()[0].weight.is_meta
    assert original.training


def test_neighbours_can_be_imported_also_late_and_leave_no_trace(nets: str) -> None:
    path, modules = list(sys.path), set(sys.modules)
    assert count(f"{nets}:LateImport") == 2 * 5 + 5
    assert not network(f"{nets}:LateImport").with_storage().layer.weight.is_meta
    assert sys.path == path
    assert not {"blocks", "late", "nets"} & (set(sys.modules) - modules)


def test_two_files_of_one_name_do_not_meet(nets: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "blocks.py").write_text(
        "from torch import nn\ndef linear(w): return nn.Linear(1, w)\n"
    )
    (other / "nets.py").write_text(NETS)
    assert count(f"{nets}:Net", width=1, depth=1) == 5
    assert count(f"{other / 'nets.py'}:Net", width=1, depth=1) == 2
    assert count(f"{nets}:Net", width=1, depth=1) == 5


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        (":Nett", {}, "has no Nett; did you mean Net"),
        ("", {}, "names no class in the file; write .*nets.py:Net, "),
        (":constant", {}, "constant is not a class or function"),
        (":number", {}, "makes an instance of int, not an nn.Module"),
        (":finished", {"width": 2}, "finished network and takes no width"),
        (":Net", {"dept": 2}, "dept: .*:Net takes no such keyword; did you mean depth?"),
        (":Child", {"width": 2}, "width: .*:Child takes no such keyword"),
        (":Careless", {"width": 2}, "width: .*:Careless takes no such keyword"),
        (":NeedsWidth", {}, "missing 1 required .* 'width'; give them by NAME=VALUE"),
        (":Net", {"depth": 6}, r"raises ValueError: at most 5 deep \(nets.py, line 15\)"),
    ],
)
def test_mistakes_are_told_in_one_line(
    nets: str, name: str, keywords: dict[str, object], message: str
) -> None:
    with pytest.raises(ArchscopeError, match=message) as error:
        network(nets + name, **keywords)
    assert "\n" not in str(error.value)


SEVERAL = """
import dataclasses, torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset
from torchvision.models import ResNet
class Base(nn.Module): pass
class Child(Base): pass
class Borrowed(ResNet): pass
class _Private(nn.Module): pass
class Settings: pass
class Pictures(Dataset): pass
class TooBig(ValueError): pass
def make(width=8): return Base()
def widened(network): return network
def main(): print(make())
finished = make()
"""


def test_all_networks_of_a_file_are_listed_as_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "several.py"
    file.write_text(SEVERAL)
    classes = f"{file}:Base, {file}:Child, {file}:Borrowed"
    with pytest.raises(ArchscopeError) as unnamed:
        network(f"{file}:")
    assert str(unnamed.value).endswith(f"; write {classes} or {file}:make")
    with pytest.raises(ArchscopeError) as misnamed:
        network(f"{file}:Zzz")
    assert str(misnamed.value).endswith(
        f"has no Zzz; write {classes}, {file}:make or {file}:finished"
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match=r"nowhere.py: there is no such file"):
        network(f"{tmp_path / 'nowhere.py'}:Net")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1 +", r"SyntaxError: .* \(broken.py, line 1\); fix the file"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    path, modules = list(sys.path), set(sys.modules)
    with pytest.raises(ArchscopeError, match=f"broken.py: its import raises {message}"):
        network(f"{tmp_path / 'broken.py'}:Net")
    assert sys.path == path
    left = set(sys.modules) - modules
    assert [name for name in left if not name.startswith("archscope.")] == []


def test_a_package_factory_is_built() -> None:
    assert count("torchvision.models:resnet18", num_classes=10) == 11689512 - 990 * 513
    assert network("torch.nn:Linear", in_features=2, out_features=3).source == "package"


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ArchscopeError, match="no_such_package:Net: No module named"):
        network("no_such_package:Net")


def test_a_file_taken_for_a_package_is_pointed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_nets").mkdir()
    (tmp_path / "own_nets" / "small.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArchscopeError, match=r"write own_nets/small\.py:Net"):
        network("own_nets.small:Net")


def test_a_file_that_defines_an_operator_is_imported_once(tmp_path: Path) -> None:
    """`torch.library` admits one definition of a namespace in a process."""
    file = tmp_path / "operator_of_mine.py"
    file.write_text(tripling("resolve_files_tests"))
    assert [count(f"{file}:Tripling") for _ in range(2)] == [20, 20]


def test_a_file_or_a_neighbour_that_changed_is_imported_anew(nets: str) -> None:
    def make(width: int) -> int:
        Path(nets).with_name("blocks.py").write_text(BLOCKS.replace("(4, width)", f"({width}, 1)"))
        return count(f"{nets}:Net", depth=1)

    assert [make(2), make(2), make(6)] == [3, 3, 7]
    Path(nets).write_text("from torch import nn\ndef Net(): return nn.Linear(1, 1)\n")
    assert count(f"{nets}:Net") == 2
