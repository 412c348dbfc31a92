"""Nothing that an earlier run saved is shown where another run would find something else."""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from archscope.cli import run
from archscope.resolve import user_code
from archscope.saved import answers
from tests.attack.figures import noted

START = """
import copy
import torch
import torch.nn.functional as F
from torch import nn
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(4, W)
        {more}
    def forward(self, x):
        return self.l(x)
    def reset(self, m=None):
        nn.init.kaiming_uniform_(self.l.weight, a=5 ** 0.5)
        nn.init.zeros_(self.l.bias)
"""

CHANCE = (
    "W = int(F.dropout(torch.ones(64)).sum())",
    "W = int(F.gumbel_softmax(torch.zeros(1,8), hard=True).argmax())+1",
    "W = int(-100*F.rrelu(-torch.ones(1), training=True))",
    "import torch.distributions as D\nW = int(D.Uniform(1.,9.).sample())",
    "W = int(torch.distributions.Normal(5.,1.).sample())",
    "W = int(torch.quasirandom.SobolEngine(1, scramble=True).draw(1)*8)+1",
    "W = 1+int(abs(nn.Linear(4,4).weight[0,0].item())*100)%8",
    "W = 3 if nn.Conv2d(4,4,1).weight.sum() > 0 else 4",
    "W = 1+int(torch.ones(1).long().resize_(99)[50]) % 8",
    "W = 1+abs(int(torch.ones(1).long().new_empty(3)[1])) % 8",
    "W = 1+abs(int(torch.Tensor(3)[1].nan_to_num())) % 8",
    "W = 1+abs(int(torch.FloatTensor(3)[1].nan_to_num())) % 8",
    "W = 1+torch.ones(3).data_ptr() % 8",
    "W = len(torch.backends.cpu.get_cpu_capability())",
    "W = len(torch.cpu.get_capabilities())",
    "W = 1+int(str(object())[-3],16)",
    "f = lambda: 0\nW = 1+int(repr(f)[-3],16)",
    "W = 1+int(f'{object()}'[-3],16)",
    "W = 1+int('{}'.format(object())[-3],16)",
    "W = 1+int(('%s' % object())[-3],16)",
    "W = 1+id(object()) % 8",
    "from torch.utils.benchmark.utils.timer import timer\nW = 1+int(timer()) % 8",
    "import collections\nW = 1+collections._sys.modules['os'].getpid() % 8",
    "W = 1+nn.Linear.__init__.__globals__['math'].floor(2) % 8",
    "import warnings\nW = 1+warnings.sys.modules['os'].getpid() % 8",
    "import torch.distributed as d\nW = 1+len(d.rendezvous.__module__)",
    "import platform\nW=len(platform.node())",
    "u = torch.utils\nW = len(u.collect_env.get_pretty_env_info())",
    "W = 1+int(F.dropout(torch.ones(9)).tolist()[3])",
    "W = 1+int(F.dropout(torch.ones(9)).numpy()[3])",
    "t = torch.ones(9)\nn = t.numpy()\nF.dropout(t, inplace=True)\nW = 1+int(n[3])",
    "W = len(repr(F.dropout(torch.ones(9))))",
    "W = 1+len(F.dropout(torch.ones(9)).nonzero())",
    "t = F.dropout(torch.ones(9))\nW = 1+len(t[t > 0])",
    "W = 1+int(abs(nn.init.trunc_normal_(torch.ones(3))[0])*9)",
    "W = 1+abs(int(torch.UntypedStorage(9)[3]))%8",
    "W = list(set('abc')).index('a')+1",
    "W = 1+'a'.__hash__()%8",
    "draw = torch.func.vmap(F.dropout, randomness='different')\n"
    "W = int(draw(torch.ones(3, 3)).sum())",
    "W = getattr(torch.ones(1),'data'+'_ptr')()%8+1",
    "W = len('{0.__init__.__globals__[__name__]}'.format(nn.Linear))",
    "W = torch.get_num_threads()",
)
"""How wide a layer is, from what differs from run to run or from machine to machine."""

SURE = (
    "W = 4",
    "NAMES = [str(i) for i in range(3)]\nW = 4",
    "NAMES = [f'layer{i}' for i in range(3)]\nW = 4",
    "RATES = torch.linspace(0, .5, 4).tolist()\nW = 4",
    "RATES = [x.item() for x in torch.linspace(0, .5, 4)]\nW = 4",
    "from torch.utils.checkpoint import checkpoint\nW = 4",
    "import math\nW = math.ceil(3.2)",
    "from torchvision.ops import StochasticDepth, Conv2dNormActivation\nW=4",
    "from dataclasses import dataclass, field\n@dataclass\nclass C:\n  w: int = 4\nW=C().w",
    "def f(x):\n  with torch.autocast('cpu'):\n    return x\nW=4",
    "class G(torch.autograd.Function):\n  @staticmethod\n  def forward(ctx, x): return x\nW=4",
    "def f(a,b): return torch.einsum('ij,jk->ik', a, b)\nW=4",
    "from torchvision.models import resnet18\nW=4",
    "def f(x):\n  if x.dim() != 4:\n    raise ValueError(f'expected 4D, got {x.dim()}D')\nW=4",
)
"""The same from the file alone."""

HELD = (
    "self.gate = F.dropout(torch.ones(1))",
    "self.register_buffer('order', torch.randperm(8))",
)
"""What a forward pass may read."""

BUILT = (
    "self.l2 = nn.LSTM(3, 4); self.bn = nn.BatchNorm2d(3)",
    "self.mha = nn.MultiheadAttention(8, 2); self.enc = nn.TransformerEncoderLayer(8, 2)",
    "pe = torch.zeros(8, 4); pe[:, 0::2] = torch.arange(8.0)[:, None].sin()\n"
    "        self.register_buffer('pe', pe); self.token = nn.Parameter(torch.zeros(1, 1, 8))",
    "self.q = nn.Parameter(torch.randn(3, 3) * 0.02)\n"
    "        rates = [x.item() for x in torch.linspace(0, 0.1, 4)]",
    "self.ls = nn.ModuleList([copy.deepcopy(self.l) for _ in range(3)])",
    "self.wn = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))",
    "self.sn = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))",
    "self.w = nn.Parameter(torch.empty(3, 4)); self.reset()",
    "self.apply(self.reset)",
)
"""What chance decides only the weights of."""


pytestmark = pytest.mark.usefixtures("certain_process")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept(width: str, more: str = "pass") -> bool:
    """Whether the count of a network is kept."""
    text = START + width + "\n" + NET.format(more=more)
    Path("net.py").write_text(text, encoding="utf-8")
    return shown() == 1


def shown() -> int:
    """How many counts are kept once the network was shown."""
    assert run(["summary", "net.py:Net", "--input", "4"]) == 0
    noted("ways to go stale", 1)
    store = answers.store()
    assert store is not None
    return store.contents().entries


@pytest.mark.parametrize("width", CHANCE)
def test_what_differs_from_run_to_run_is_not_kept(width: str) -> None:
    assert not kept(width)


@pytest.mark.parametrize("more", HELD)
def test_chance_that_a_network_holds_is_not_kept(more: str) -> None:
    assert not kept("W = 4", more)


@pytest.mark.parametrize("width", SURE)
def test_what_the_file_decides_is_kept(width: str) -> None:
    assert kept(width)


@pytest.mark.parametrize("more", BUILT)
def test_weights_of_chance_are_kept(more: str) -> None:
    assert kept("W = 4", more)


def test_a_linked_neighbour_decides(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "helper.py").write_text("W = 4\n", encoding="utf-8")
    (here / "helper.py").symlink_to(here / "elsewhere" / "helper.py")
    assert kept("from helper import W")
    (here / "elsewhere" / "helper.py").write_text("W = 5\n", encoding="utf-8")
    user_code.USER_CODE.clear()
    assert shown() == 2


def test_the_same_name_in_another_folder_is_another_network(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept("W = 4")
    (here / "other").mkdir()
    (here / "net.py").rename(here / "other" / "net.py")
    monkeypatch.chdir(here / "other")
    user_code.USER_CODE.clear()
    assert shown() == 2


@pytest.mark.parametrize("suffix", [*EXTENSION_SUFFIXES[:1], ".pyc"])
def test_a_compiled_module_may_run_instead(suffix: str, here: Path) -> None:
    (here / "helper.py").write_text("W = 4\n", encoding="utf-8")
    (here / f"net{suffix}").touch()
    assert not kept("from helper import W")


def test_bytecode_of_an_earlier_text_is_noticed(here: Path) -> None:
    import py_compile

    helper = here / "helper.py"
    helper.write_text("W = 4\n", encoding="utf-8")
    os.utime(helper, ns=(10**18, 10**18))
    compiled = py_compile.compile(str(helper))
    assert compiled is not None
    os.utime(compiled, ns=(10**18, 10**18 + 10**6))
    assert kept("from helper import W")
    helper.write_text("W = 5\n", encoding="utf-8")
    os.utime(helper, ns=(10**18, 10**18 + 10**7))  # in the same second
    user_code.USER_CODE.clear()
    assert shown() == 1  # of four columns still, as Python runs it, and not kept


def test_no_bytecode_is_left_beside_a_users_file(here: Path) -> None:
    (here / "helper.py").write_text("W = 4\n", encoding="utf-8")
    assert kept("from helper import W")
    assert not list(here.rglob("*.pyc"))


def test_a_module_that_hides_one_of_python_s_is_noticed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archscope.saved import runs

    (here / "front").mkdir()
    (here / "front" / "numbers.py").write_text("W = 4\n", encoding="utf-8")
    monkeypatch.setattr(runs, "_before_python", lambda: (here / "front",))
    assert kept("import math\nW = 4")
    user_code.USER_CODE.clear()
    text = (here / "net.py").read_text(encoding="utf-8")
    (here / "net.py").write_text("import numbers\n" + text, encoding="utf-8")
    assert shown() == 1
