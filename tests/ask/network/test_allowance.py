"""What a run on the CPU may take."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import archscope
from archscope.ask.network.allowance import allowed, with_allowance
from archscope.cli import run
from archscope.errors import ArchscopeError


class Asks(nn.Module):
    """Needs values, and 4 MiB of weights for them; before it asks it has made 2 x 4 KiB."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(1024, 1024, bias=False)

    def forward(self, x):
        x = self.before(x).relu()
        return x if x.sum() > -1e9 else -x


FREE = 2**22
"""Bytes of this machine, as far as the tests say: half of them are too few for the weights."""


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr("archscope.measure.memory.available_bytes", lambda device: FREE)


@pytest.mark.usefixtures("little")
def test_a_run_on_the_cpu_takes_at_most_half_of_the_free_memory():
    # 2^20 weights of 4 bytes; an input and at most one activation at once of 1,024
    figures = r"at least 4\.01 MiB \(4\.00 MiB of weights, 4\.00 KiB of activations, 4\.00 KiB of"
    with pytest.raises(ArchscopeError, match=figures + r".*half of the free memory is 2\.00 MiB"):
        archscope.summary(Asks, "1024")
    # a gradient of each weight, and both activations are there until it is computed
    with pytest.raises(ArchscopeError, match=r"4\.00 MiB of gradients, 8\.00 KiB of activations"):
        archscope.summary(Asks, "1024", backward=True)
    with pytest.raises(ArchscopeError, match=r"4\.00 MiB of gradients, 8\.00 KiB of activations"):
        archscope.memory(Asks, "1024")
    with pytest.raises(ArchscopeError, match=figures):
        archscope.predict(Asks, "1024", device="a100", mode="inference")
    network = Asks()  # its weights are there already
    assert archscope.summary(network, "1024").total.macs == 2**20


@pytest.mark.usefixtures("little")
def test_more_is_taken_where_it_is_allowed():
    for memory in (2**23, "8MiB"):
        assert archscope.summary(Asks, "1024", allow_memory=memory).total.macs == 2**20
    with pytest.raises(ArchscopeError, match=r"where allow_memory is 1\.00 MiB; allow more with "
                                             r"allow_memory='1GiB'"):  # fmt: skip
        archscope.summary(Asks, "1024", allow_memory="1MiB")
    with pytest.raises(ArchscopeError, match="half of the free memory"):
        archscope.summary(Asks, "1024")
    with pytest.raises(ArchscopeError, match="allow_memory: 'much' is not a quantity"):
        archscope.summary(Asks, "1024", allow_memory="much")


def test_what_is_allowed_travels_with_a_task():
    from archscope.ask.network import allowance

    with allowed(7):
        carried = with_allowance(partial(max, 0))
        here = with_allowance(lambda task: allowance._ALLOWED.get() or task)
    assert carried(3) == 3
    assert here(0) == 7
    assert allowance._ALLOWED.get() is None


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(
    "command",
    ["summary {}", "compare {} {}", "diff {} {}", "explain {}", "signal {}", "check b.toml"],
)
def test_every_command_that_counts_has_the_option(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = Path(__file__).read_text()
    lines = text[text.index("class Asks") : text.index("FREE =")]
    Path("nets.py").write_text("from torch import nn\n\n\n" + lines)
    Path("b.toml").write_text(
        '[[budget]]\nmodel = "nets.py:Asks"\ninput = "1024"\nmax_macs = "2M"\n'
    )
    network = "nets.py:Asks"
    given = command.replace("{}", network).split()
    given += ["--model", network] if given[0] == "check" else ["--input", "1024"]
    assert run(["--no-cache", *given]) == 2
    said = capsys.readouterr()
    assert "half of the free memory is 2.00 MiB; allow more with --allow-memory 1GiB" in said.err
    assert run(["--no-cache", *given, "--allow-memory", "1GiB"]) in (0, 1)
    assert run(["--no-cache", *given, "--allow-memory", "1MiB"]) == 2
    assert torch.get_default_dtype() is torch.float32
