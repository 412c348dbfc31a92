"""A user's network depends on its file and on all local ones behind it, or is not kept at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope.saved.user_files import fingerprint

NET = """
import torch
from torch import nn
from blocks import Block
from parts.heads import Head

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.head = Head()
"""
FILES = {
    "net.py": NET,
    "blocks.py": "from torch import nn\nclass Block(nn.Identity):\n    pass\n",
    "parts/__init__.py": "",
    "parts/heads.py": "from .inner import Head\n",
    "parts/inner.py": "def late():\n    from . import deep\nclass Head:\n    pass\n",
    "parts/deep.py": "WIDTH = 4\n",
    "other.py": "unused = 1\n",
}


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "net.py"


@pytest.mark.parametrize("name", [name for name in FILES if name != "other.py"])
def test_every_file_that_may_run_decides(net: Path, name: str) -> None:
    before = fingerprint(net)
    assert before is not None
    with net.parent.joinpath(name).open("a") as file:
        file.write("# changed\n")
    assert fingerprint(net) not in (before, None)


def test_a_file_that_nothing_imports_does_not(net: Path) -> None:
    before = fingerprint(net)
    net.parent.joinpath("other.py").write_text("unused = 2\n")
    assert fingerprint(net) == before


def test_the_same_sources_elsewhere_are_the_same(net: Path, tmp_path: Path) -> None:
    before = fingerprint(net)
    moved = net.parent.rename(tmp_path.with_name(tmp_path.name + "_moved"))
    assert fingerprint(moved / "net.py") == before


@pytest.mark.parametrize(
    "line",
    [
        "import einops",
        "import os; SIZE = os.name",
        "import random; SIZE = 'random.random()'",
        "import os as o\ndef size(): return o",
        "import os\nif __name__ == '__main__':\n    pass\nelse:\n    SIZE = os.name",
        "__name__ = '__main__'\nif __name__ == '__main__':\n    SIZE = open('size.txt')",
        "if __name__ != '__main__':\n    SIZE = open('size.txt')",
        "import tkinter",
        "from importlib import import_module",
        "from torch import *",
        "from ..above import x",
        "import archscope",
        "SIZE = int(open('size.txt').read())",
        "exec('x = 1')",
        "STATE = torch.load('weights.pt')",
        "FAST = torch.cuda.is_available()",
        "from torch import hub",
        "from torch.utils import cpp_extension as c",
        "nn.Linear.bias = 3",
        "setattr(nn.Linear, 'bias', 3)",
        "alias = nn.Linear; alias.forward = None",
        "def broken(:",
        "WIDTH = int(torch.randint(1, 9, ()).item())",
        "from torch import rand",
        "WIDTH = hash('width') % 8",
        "KINDS = set(['relu', 'gelu'])",
        "KINDS = list({'relu', 'gelu'})",
        "WIDTH = len(torch.__config__.show())",
        "WIDTH = 4 if torch.get_default_dtype() == torch.float32 else 8",
        "WIDTH = int(torch.os.environ['WIDTH'])",
        "draw = getattr(torch, 'ra' + 'nd')",
        "draw = getattr(torch, 'rand')",
        "from operator import attrgetter",
        "WIDTH = int(nn.Linear(2, 2, device='cpu').weight.new(3).random_().sum())"
        "; torch.manual_seed(0)",
    ],
)
def test_what_reading_cannot_follow_is_not_kept(net: Path, line: str) -> None:
    inner = net.parent / "parts" / "deep.py"
    inner.write_text(f"import torch\nfrom torch import nn\n{line}\n")
    assert fingerprint(net) is None


@pytest.mark.parametrize(
    "line",
    [
        "TOKENS = nn.Parameter(torch.randn(1, 8, 16))",
        "TOKENS = nn.Parameter(0.02 * torch.randn(1, 8, 16))",
        "KNOWN = 'relu' in {'relu', 'gelu'}",
        "def f(self): return getattr(self, 'layer' + '1'), self.filters, self.random",
        "import os, random, sys as s, time\nfrom pathlib import Path\nimport os.path",
        "try:\n    import os\nfinally:\n    pass",
        "import time\nif __name__ == '__main__':\n    import einops\n    open(time.ctime())",
        "if '__main__' == __name__:\n    import os\nelse:\n    SIZE = 3",
    ],
)
def test_what_decides_no_count_is_kept(net: Path, line: str) -> None:
    inner = net.parent / "parts" / "deep.py"
    inner.write_text(f"import torch\nfrom torch import nn\n{line}\n")
    assert fingerprint(net) is not None


@pytest.mark.parametrize(
    "line",
    [
        "from parts.deep import os",
        "from parts import deep\ndef size(): return deep.os",
        "import parts.deep as self\nSIZE = getattr(self, 'os')",
    ],
)
def test_an_import_that_another_file_uses_is_not_kept(net: Path, line: str) -> None:
    (net.parent / "parts" / "deep.py").write_text("import os\n")
    assert fingerprint(net) is not None
    (net.parent / "blocks.py").write_text(f"class Block: pass\n{line}\n")
    assert fingerprint(net) is None


def test_an_unused_import_of_a_file_of_that_name_decides(net: Path) -> None:
    net.write_text(f"import uuid\n{net.read_text()}")
    before = fingerprint(net)
    assert before is not None
    net.parent.joinpath("uuid.py").write_text("import torch\n")
    after = fingerprint(net)
    assert after not in (before, None)


def test_a_local_module_that_hides_one_of_the_system_is_not_kept(net: Path) -> None:
    assert fingerprint(net) is not None
    net.parent.joinpath("torch.py").write_text("")
    assert fingerprint(net) is None


def test_a_module_that_appears_later_changes_the_answer(net: Path) -> None:
    before = fingerprint(net)
    net.parent.joinpath("blocks").mkdir()
    net.parent.joinpath("blocks", "__init__.py").write_text("class Block: pass\n")
    assert fingerprint(net) not in (before, None)


def test_a_missing_file_has_no_fingerprint(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "net.py") is None


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("W = int(torch.zeros(1).uniform_(1, 9))", False),
        ("w = torch.zeros(1)\nw.random_(1, 9)\nW = int(w)", False),
        ("W = int(torch.nn.init.normal_(torch.zeros(1)))", False),
        ("w = torch.zeros(1)\nnn.init.normal_(w)\nW = int(w)", False),
        ("def start(m):\n    nn.init.normal_(m.weight)\n    m.bias.data.uniform_(-1, 1)", True),
    ],
)
def test_a_draw_decides_unless_it_is_a_weight(code: str, kept: bool, tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    file.write_text(f"import torch\nfrom torch import nn\n{code}\n", encoding="utf-8")
    assert (fingerprint(file) is not None) == kept
