"""The other tools that count: each run on the same network and input, all given in MACs.

One that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from typing import TYPE_CHECKING, Literal

from archscope.errors import first_line
from archscope.peers import tools
from archscope.peers.tools import Counted

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis.calls import Arguments


Quantity = Literal["macs", "macs_training"]


@dataclass(frozen=True)
class PeerCount:
    """What one tool says of one network.

    Args:
        peer: the tool.
        counted: `None` where it fails.
        failure: what it raised.
    """

    peer: Peer
    counted: Counted | None
    failure: str = ""


@dataclass(frozen=True)
class Peer:
    """A tool that counts.

    Args:
        tool: its name on the package index, or the class in PyTorch.
        package: what has to be installed.
        count: network and arguments → what the tool says of them.
        quantity: `macs` of a forward pass, or `macs_training` of forward and backward together.
        weights: whether it needs a network with real weights, rather than one on meta.
    """

    tool: str
    package: str
    count: Callable[[nn.Module, Arguments], Counted]
    quantity: Quantity = "macs"
    weights: bool = False

    @property
    def installed(self) -> bool:
        return util.find_spec(self.package) is not None

    @property
    def source(self) -> str:
        """The tool with its version, where it has one of its own."""
        version = metadata.version(self.package)
        return f"{self.tool} {version}" if self.package == self.tool else self.tool

    def __call__(self, network: nn.Module, arguments: Arguments) -> PeerCount:
        """Count; whatever the tool raises becomes its failure."""
        try:
            with _quiet(), _torch_restored():
                return PeerCount(self, self.count(network, arguments))
        except Exception as error:
            return PeerCount(self, None, f"{type(error).__name__}: {first_line(error)}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the tools print, log and warn about to themselves."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _torch_restored() -> Iterator[None]:
    """Put back the functions of PyTorch that a tool replaces, and leaves replaced if it fails."""
    import torch

    spaces = (torch, torch.nn.functional, torch.Tensor)
    before = [dict(vars(space)) for space in spaces]
    try:
        yield
    finally:
        for space, known in zip(spaces, before, strict=True):
            for name, value in list(vars(space).items()):
                if name in known and known[name] is not value:
                    setattr(space, name, known[name])
        inherited = set(vars(torch.Tensor)) - set(before[-1])
        for name in inherited & set(dir(torch.Tensor.__base__)):
            delattr(torch.Tensor, name)


PEERS = (
    Peer("fvcore", "fvcore", tools.fvcore, weights=True),
    Peer("torch.utils.flop_counter", "torch", tools.flop_counter),
    Peer("torch.utils.flop_counter", "torch", tools.flop_counter_training, "macs_training"),
    Peer("torchinfo", "torchinfo", tools.torchinfo, weights=True),
    Peer("ptflops", "ptflops", tools.ptflops, weights=True),
    Peer("calflops", "calflops", tools.calflops, weights=True),
    Peer("torchprofile", "torchprofile", tools.torchprofile, weights=True),
    Peer("thop", "thop", tools.thop, weights=True),
)
"""Every tool that verify knows.

They share a network, and thop comes last: its hooks stay on modules that have two names, and raise.
"""
