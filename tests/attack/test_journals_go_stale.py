"""A journal is keyed by all that decides its points, and by nothing else."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from torch import nn
from torchvision.models import resnet

import archscope
from archscope.saved import answers
from archscope.saved.journal import UNKNOWN
from tests.attack.figures import noted

NET = """
from torch import nn
{text}

class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, WIDTH)
"""

READ_ELSEWHERE = (
    "import pandas as pd\nWIDTH = int(pd.read_json('c.json').w[0])",
    "from pandas import read_csv\nWIDTH = int(read_csv('c.csv').w[0])",
    "import numpy as np\nWIDTH = int(np.fromregex('c', r'(.)', [('n', int)])['n'][0])",
    "import numpy as np\nWIDTH = int(np.lib.npyio.DataSource().open('c').read())",
    "from numpy import memmap\nWIDTH = int(memmap('c')[0])",
    "import numpy.random\nWIDTH = numpy.random.randint(3)",
    "import numpy as np\nrandom = np\nWIDTH = 1",
    "from PIL import Image\nWIDTH = Image.open('c.png').size[0]",
    "import click\nWIDTH = int(click.Option(['-w'], envvar='W').envvar)",
    "from scipy import stats\nWIDTH = int(stats.uniform.rvs() * 9)",
    "import pandas as pd\nWIDTH = pd.Timestamp.now().second",
    "import numpy as np\nWIDTH = int(np.datetime64('now').astype(int) % 9)",
    "from iopath.common.file_io import g_pathmgr\nWIDTH = int(g_pathmgr.open('c').read())",
    "from fvcore.common.config import CfgNode\nWIDTH = CfgNode.load_yaml_with_base('c').W",
    "from transformers import AutoConfig\nWIDTH = AutoConfig.from_pretrained('c').hidden_size",
    "import timm\nWIDTH = timm.create_model('local-dir:c').num_features",
    "import json\nWIDTH = json.load(open('c'))['w']",
    "import os\nWIDTH = int(os.environ['W'])",
    "import statistics\nWIDTH = int(statistics.NormalDist(5).samples(1)[0])",
    "import contextlib\nWIDTH = 1 + contextlib.os.getpid() % 8",
    "import collections\nWIDTH = getattr(collections, '_sys').maxsize % 8",
    "import json\nWIDTH = len(json.codecs.open('c').read())",
    "from types import FunctionType\nWIDTH = 1",
    "import typing\nWIDTH = len(typing.get_type_hints(nn.Linear))",
    "import importlib\nWIDTH = importlib.import_module('helper').WIDTH",
)
"""Widths that neither the text nor a version decides."""

READ_HERE = (
    "WIDTH = 3",
    "import numpy as np\nWIDTH = int(np.prod([1, 3])) + np.int64(np.log2(8)).item()",
    "import bisect, cmath, decimal, fractions, heapq, json, math, re, textwrap, types\nWIDTH = 3",
    "from contextlib import nullcontext\nfrom statistics import median\nWIDTH = median([3])",
    "import json, re\nWIDTH = len(json.dumps(re.sub('a', 'b', 'a')))",
    "from numpy import ceil, pi\nWIDTH = int(ceil(pi))",
    "def f(m):\n    m.load_state_dict({})\nWIDTH = 3",
    "from fvcore.nn import weight_init\nWIDTH = 3",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def decided(text: str) -> str | None:
    Path("net.py").write_text(NET.format(text=text), encoding="utf-8")
    noted("ways to go stale", 1)
    return answers.decisive("net.py:Net")


@pytest.mark.parametrize("text", READ_ELSEWHERE)
def test_what_is_read_elsewhere_is_unknown(text: str) -> None:
    assert decided(text) is None


@pytest.mark.parametrize("text", READ_HERE)
def test_what_the_text_decides_is_known(text: str) -> None:
    assert None is not decided(text) == decided(text) != decided(text + "\nMORE = 1")


def test_what_a_script_changed_in_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    before = answers.decisive("resnet18")
    assert before is not None
    with monkeypatch.context() as patch:
        patch.setattr(resnet.BasicBlock, "forward", lambda self, x: x)
        assert answers.decisive("resnet18") is None
    with monkeypatch.context() as patch:
        patch.setattr(resnet.Bottleneck, "expansion", 2)
        assert answers.decisive("resnet18") is None
    assert answers.decisive("resnet18") == before
    noted("ways to go stale", 2)


def test_a_class_is_unknown() -> None:
    assert answers.decisive(nn.Linear) is None
    assert answers.decisive("resnet18", {"norm_layer": nn.BatchNorm2d}) is None
    assert answers.decisive("resnet18", {"num_classes": 3}) is not None


def test_what_is_in_memory_says_so() -> None:
    def why(*networks: tuple[object, dict[str, object]]) -> str:
        deciding = answers.Deciding(*networks)
        assert deciding() is None
        return deciding.obstacle()

    assert why((nn.Linear, {})) == "Linear is an object of this process"
    changed = ("resnet18", {"norm_layer": nn.BatchNorm2d})
    assert why(("lenet", {}), changed) == "norm_layer is an object of this process"
    assert why(("hf:owner/name", {})) == "owner/name is wherever the hub's cache has it"
    assert why(("runs.json", {})) == UNKNOWN


def test_chance_in_one_point_is_counted_again() -> None:
    text = "import torch\nWIDTH = 2 + int(nn.functional.dropout(torch.ones(99)).sum())"
    Path("net.py").write_text(NET.format(text=text), encoding="utf-8")
    ask = {"axes": {"batch": [1, 2]}, "input": "2", "journal": "j"}
    archscope.sweep("net.py:Net", **ask)
    keys = [json.loads(line)["key"] for line in Path("j").read_text().splitlines()[1:]]
    assert keys == [None, None]
    with pytest.warns(UserWarning, match="2 of the journal's entries cannot be trusted"):
        archscope.sweep("net.py:Net", resume=True, **ask)


def test_what_an_earlier_resume_counted_is_left_unsaid() -> None:
    ask = {"axes": {"batch": [1, 2]}, "journal": "j"}
    archscope.sweep("lenet", **ask)
    lines = Path("j").read_text().splitlines(keepends=True)
    old = lines[1].replace(json.loads(lines[1])["key"], "other")
    Path("j").write_text("".join([lines[0], old, *lines[1:]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        archscope.sweep("lenet", resume=True, **ask)


def test_a_long_run_looks_at_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes longer than the count of a small network."""
    looks: list[str] = []
    monkeypatch.setattr(answers, "_is_changed_in_memory", looks.append)
    archscope.sweep("lenet", {"batch": [1, 2, 3]}, journal="j")
    assert looks == ["lenet"]
