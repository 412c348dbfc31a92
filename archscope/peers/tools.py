"""What each other tool says of a network: a total in MACs, and the figure of each module.

Every tool is imported when it is asked.
Several state a total alone, but keep figures of modules while they run, which are read here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments


@dataclass(frozen=True)
class Counted:
    """What a tool says.

    Args:
        macs: of the whole network.
        own: multiply-accumulates of each module without its children, by dotted name; `None`
            where the tool tells only a total.
        separate: parts of `own` that the tool tells apart, by module and by what they are for.
    """

    macs: int
    own: Mapping[str, int] | None = None
    separate: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


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


# Tools that come with archscope's requirements


def fvcore(network: nn.Module, arguments: Arguments) -> Counted:
    from fvcore.nn import FlopCountAnalysis

    count = FlopCountAnalysis(network, _positional(arguments))
    count.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    cumulative = {name: round(figure) for name, figure in count.by_module().items()}
    return Counted(round(count.total()), own_figures(cumulative))


def flop_counter(network: nn.Module, arguments: Arguments) -> Counted:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(*arguments[0], **arguments[1])
    root = type(network).__name__
    cumulative = {
        "" if name == root else name.removeprefix(f"{root}."): sum(counts.values()) // 2
        for name, counts in counter.get_flop_counts().items()
        if name != "Global"
    }
    return Counted(counter.get_total_flops() // 2, own_figures(cumulative))


def flop_counter_training(network: nn.Module, arguments: Arguments) -> Counted:
    """Backward operators are credited to whichever module is open: only their sum tells."""
    from torch.utils.flop_counter import FlopCounterMode

    from archscope.analysis.nested import tensors

    with FlopCounterMode(display=False) as counter:
        output = network(*arguments[0], **arguments[1])
        losses = [leaf.sum() for leaf in tensors(output) if leaf.requires_grad]
        sum(losses).backward()  # type: ignore[union-attr]
        network.zero_grad()
    return Counted(counter.get_total_flops() // 2)


# Tools that join where they are installed


def torchinfo(network: nn.Module, arguments: Arguments) -> Counted:
    """It totals the modules without children."""
    import torchinfo

    statistics = torchinfo.summary(network, input_data=[*_positional(arguments)], verbose=0)
    names = _names(network)
    own: Counter[str] = Counter()
    for layer in statistics.summary_list:
        if layer.is_leaf_layer:
            own[names[id(layer.module)]] += int(layer.macs)
    return Counted(int(statistics.total_mult_adds), own)


def thop(network: nn.Module, arguments: Arguments) -> Counted:
    """A module of k names gets k hooks, and what these find is added under each name: k² times."""
    import thop

    macs, _, layers = thop.profile(
        network, inputs=_positional(arguments), verbose=False, ret_layer_info=True
    )
    names = _names(network)
    modules = dict(network.named_modules(remove_duplicate=False))
    own: Counter[str] = Counter()
    visits: Counter[str] = Counter()

    def add(prefix: str, figures: Mapping[str, Any]) -> None:
        for name, (figure, _, below) in figures.items():
            first_name = names[id(modules[prefix + name])]
            visits[first_name] += 1
            own[first_name] += round(figure - sum(item[0] for item in below.values()))
            add(f"{prefix}{name}.", below)

    add("", layers)
    own[""] += round(macs) - sum(own.values())
    separate = {
        name: {"again": own[name] - own[name] // k**2} for name, k in visits.items() if k > 1
    }
    return Counted(round(macs), own, separate)


def ptflops(network: nn.Module, arguments: Arguments) -> Counted:
    """It adds what it counts by module to what it counts by function, which it keeps in a list."""
    import torch
    from ptflops import get_model_complexity_info

    only, *others = _positional(arguments)
    if others:
        raise TypeError("takes one input")
    if len(only) != 1:
        raise ValueError("adds the modules of one sample to the functions of the batch")
    own: Counter[str] = Counter()

    def by_function() -> int:
        lists = (torch.nn.functional.relu, torch.matmul)
        return sum(int(figure) for one in lists for figure in getattr(one, "collector", ()))

    separate: dict[str, Counter[str]] = defaultdict(Counter)

    def read(module: nn.Module, inputs: Any, output: Any) -> None:
        own.update(_totalled(network, "__flops__", separate, stops=True))

    with _credited(network, by_function, own):
        handle = network.register_forward_hook(read)
        try:
            macs, _ = get_model_complexity_info(
                network,
                tuple(only.shape[1:]),
                input_constructor=lambda shape: only,
                print_per_layer_stat=False,
                as_strings=False,
                backend="pytorch",
            )
        finally:
            handle.remove()
    if macs is None:
        raise ValueError("fails on this network and prints why")
    own[""] += round(macs) - sum(own.values())  # the network's own hook runs after `read`
    return Counted(round(macs), own, separate)


def calflops(network: nn.Module, arguments: Arguments) -> Counted:
    from calflops import calculate_flops

    own: Counter[str] = Counter()
    separate: dict[str, Counter[str]] = defaultdict(Counter)

    def read(module: nn.Module, inputs: Any, output: Any) -> None:
        own.update(_totalled(network, "__macs__", separate, stops=False))

    handle = network.register_forward_hook(read)
    try:
        _, macs, _ = calculate_flops(
            network,
            args=list(_positional(arguments)),
            print_results=False,
            print_detailed=False,
            output_as_string=False,
        )
    finally:
        handle.remove()
    own[""] += round(macs) - sum(own.values())  # the network's own hook runs after `read`
    return Counted(round(macs), own, separate)


def torchprofile(network: nn.Module, arguments: Arguments) -> Counted:
    """It follows a trace of operators, whose scopes are the modules if somebody names them.

    The trace holds computations with sizes too, as operators on single numbers.
    """
    from torchprofile import profile_macs

    with _scopes(network):
        nodes: Any = profile_macs(network, _positional(arguments), reduction=None)
    own: Counter[str] = Counter()
    separate: dict[str, Counter[str]] = defaultdict(Counter)
    for node, figure in nodes.items():
        name = node.scope.rpartition("/")[2].partition(ROOT_SCOPE)[2]
        own[name] += round(figure)
        if node.operator == "aten::mul" and node.outputs[0].shape == []:
            separate[name]["sizes"] += round(figure)
    return Counted(sum(own.values()), own, separate)


# Which module a figure belongs to


def _names(network: nn.Module) -> dict[int, str]:
    """The first name of every module, under which archscope counts it too."""
    return {id(module): name for name, module in network.named_modules()}


def _totalled(
    network: nn.Module, attribute: str, separate: Mapping[str, Counter[str]], *, stops: bool
) -> Counter[str]:
    """What modules keep of themselves, added up as the tool adds it up.

    Args:
        network: all of its modules are asked.
        attribute: where they keep it.
        separate: gets what is added once more under another name of the module.
        stops: whether the tool looks no deeper once a module has a figure.
    """
    names = _names(network)
    own: Counter[str] = Counter()

    def visit(module: nn.Module) -> None:
        figure = getattr(module, attribute, None)
        name = names[id(module)]
        if name in own:
            separate[name]["again"] += int(figure or 0)
        own[name] += int(figure or 0)
        if figure is None or not stops:
            for child in module.children():
                visit(child)

    visit(network)
    return own


@contextmanager
def _credited(network: nn.Module, total: Callable[[], int], own: Counter[str]) -> Iterator[None]:
    """Credit what a running total gains to the module that is open meanwhile."""
    names = _names(network)
    stack = [""]
    seen = 0

    def credit() -> None:
        nonlocal seen
        now = total()
        own[stack[-1]] += now - seen
        seen = now

    def enter(module: nn.Module) -> None:
        credit()
        stack.append(names.get(id(module), stack[-1]))

    def leave(module: nn.Module) -> None:
        credit()
        stack.pop()

    with _module_calls(enter, leave):
        yield


@contextmanager
def _module_calls(
    enter: Callable[[nn.Module], None], leave: Callable[[nn.Module], None]
) -> Iterator[None]:
    """Tell when a call of any module begins, and when it ends."""
    from torch.nn.modules import module as hooks

    handles = (
        hooks.register_module_forward_pre_hook(lambda module, inputs: enter(module)),
        hooks.register_module_forward_hook(
            lambda module, inputs, output: leave(module), always_call=True
        ),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


ROOT_SCOPE = "~"
"""Begins every scope: PyTorch's tracer takes no empty one."""


@contextmanager
def _scopes(network: nn.Module) -> Iterator[None]:
    """Name the scopes of a trace after the modules."""
    import torch

    names = _names(network)

    def enter(module: nn.Module) -> None:
        state = torch._C._get_tracing_state()
        if state is not None and id(module) in names:
            state.push_scope(ROOT_SCOPE + names[id(module)])

    def leave(module: nn.Module) -> None:
        state = torch._C._get_tracing_state()
        if state is not None and id(module) in names:
            state.pop_scope()

    with _module_calls(enter, leave):
        yield


# Arguments and results


def _positional(arguments: Arguments) -> tuple[Tensor, ...]:
    positional, named = arguments
    if named:
        raise TypeError(f"cannot take keyword inputs such as {next(iter(named))}")
    return positional
