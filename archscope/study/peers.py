"""The other tools that count: each run on the same network and input, all told in MACs.

Every tool is imported when it is asked, and one that is not installed is left out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archscope.study.call import Arguments

Quantity = Literal["macs", "macs_training"]


@dataclass(frozen=True)
class PeerCount:
    """What one tool says of one network.

    Args:
        tool: its name on the package index, or the class in PyTorch.
        package: that it comes in.
        version: of that package.
        quantity: `macs` of a forward pass, or `macs_training` of forward and backward together.
        macs: the total, `None` where the tool fails.
        own: multiply-accumulates of each module without its children; `None` where the tool
            tells only a total.
        failure: what it raised.
    """

    tool: str
    package: str
    version: str
    quantity: Quantity = "macs"
    macs: int | None = None
    own: Mapping[str, int] | None = None
    failure: str = ""


@dataclass(frozen=True)
class Peer:
    """A tool that counts.

    Args:
        tool: what its figures are called.
        package: what has to be installed.
        count: network and arguments → total and the own figure of each module.
        quantity: as in PeerCount.
        weights: whether it needs a network with real weights, rather than one on meta.
    """

    tool: str
    package: str
    count: Callable[[nn.Module, Arguments], tuple[int, Mapping[str, int] | None]]
    quantity: Quantity = "macs"
    weights: bool = False

    @property
    def installed(self) -> bool:
        return util.find_spec(self.package) is not None

    def __call__(self, network: nn.Module, arguments: Arguments) -> PeerCount:
        """Count; whatever the tool raises becomes its failure."""
        try:
            with _quiet():
                macs, own = self.count(network, arguments)
        except Exception as error:
            text = str(error).strip().splitlines()
            return self.failed(f"{type(error).__name__}: {text[0] if text else ''}"[:160])
        version = metadata.version(self.package)
        return PeerCount(self.tool, self.package, version, self.quantity, macs, own)

    def failed(self, failure: str) -> PeerCount:
        version = metadata.version(self.package)
        return PeerCount(self.tool, self.package, version, self.quantity, failure=failure)


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


def own_figures(cumulative: Mapping[str, int]) -> dict[str, int]:
    """Each module's figure without those of its children.

    Args:
        cumulative: dotted name, empty for the network itself → figure with all descendants.
    """
    own = dict(cumulative)
    for name, figure in cumulative.items():
        parent = _parent(name, cumulative)
        if parent is not None:
            own[parent] -= figure
    return own


def _parent(name: str, known: Mapping[str, int]) -> str | None:
    """The nearest enclosing module that has a figure."""
    while name:
        name = name.rpartition(".")[0]
        if name in known:
            return name
    return None


def _fvcore(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    from fvcore.nn import FlopCountAnalysis

    count = FlopCountAnalysis(network, _positional(arguments))
    count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    cumulative = {name: round(figure) for name, figure in count.by_module().items()}
    return round(count.total()), own_figures(cumulative)


def _flop_counter(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    return _counted_by_torch(network, arguments, backward=False)


def _flop_counter_training(
    network: nn.Module, arguments: Arguments
) -> tuple[int, Mapping[str, int] | None]:
    return _counted_by_torch(network, arguments, backward=True)


def _counted_by_torch(
    network: nn.Module, arguments: Arguments, backward: bool
) -> tuple[int, Mapping[str, int] | None]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = network(*arguments[0], **arguments[1])
        if backward:
            losses = [leaf.sum() for leaf in _leaves(output) if leaf.requires_grad]
            sum(losses).backward()  # type: ignore[union-attr]
            network.zero_grad()
    root = type(network).__name__
    cumulative = {
        "" if name == root else name.removeprefix(f"{root}."): sum(counts.values()) // 2
        for name, counts in counter.get_flop_counts().items()
        if name != "Global"
    }
    # The backward operators are credited to whichever module is open: only their sum tells.
    own = None if backward else own_figures(cumulative)
    return counter.get_total_flops() // 2, own


def _torchinfo(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    import torchinfo

    statistics = torchinfo.summary(network, input_data=[*_positional(arguments)], verbose=0)
    return int(statistics.total_mult_adds), None


def _thop(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    import thop

    macs, _ = thop.profile(network, inputs=_positional(arguments), verbose=False)
    return round(macs), None


def _ptflops(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    from ptflops import get_model_complexity_info

    (only,) = _positional(arguments)
    macs, _ = get_model_complexity_info(
        network,
        tuple(only.shape[1:]),
        input_constructor=lambda shape: only,
        print_per_layer_stat=False,
        as_strings=False,
        backend="pytorch",
    )
    return round(macs), None


def _calflops(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(
        network,
        args=list(_positional(arguments)),
        print_results=False,
        print_detailed=False,
        output_as_string=False,
    )
    return round(macs), None


def _torchprofile(network: nn.Module, arguments: Arguments) -> tuple[int, Mapping[str, int] | None]:
    from torchprofile import profile_macs

    return round(profile_macs(network, _positional(arguments))), None


def _positional(arguments: Arguments) -> tuple[Tensor, ...]:
    positional, named = arguments
    if named:
        raise TypeError(f"takes no keyword inputs such as {next(iter(named))}")
    return positional


def _leaves(value: Any) -> list[Tensor]:
    from torch import Tensor

    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return []


PEERS = (
    Peer("fvcore", "fvcore", _fvcore, weights=True),
    Peer("torch.utils.flop_counter", "torch", _flop_counter),
    Peer("torch.utils.flop_counter", "torch", _flop_counter_training, "macs_training"),
    Peer("torchinfo", "torchinfo", _torchinfo, weights=True),
    Peer("ptflops", "ptflops", _ptflops, weights=True),
    Peer("thop", "thop", _thop, weights=True),
    Peer("calflops", "calflops", _calflops, weights=True),
    Peer("torchprofile", "torchprofile", _torchprofile, weights=True),
)
"""Every tool that verify knows; `extra` ones of them join when they are installed."""
