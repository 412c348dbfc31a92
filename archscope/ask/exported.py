"""A network as `torch.export` writes it: what each node of that graph costs.

Viewers of exported programs know a network by these nodes, whose names `torch.export` chooses.
Each node is run as a module of its own, so that the count of modules is a count of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archscope.ask.network.runs import executed, run_once
from archscope.ask.target import Target
from archscope.errors import ArchscopeError, first_line
from archscope.records import Layer

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class ExportedCount:
    """The nodes of an exported program in execution order.

    Args:
        nodes: what each node that computes costs, by its name.
        sizes: numbers of elements of the parameters, by the name of the node that holds each.
    """

    nodes: Mapping[str, Layer]
    sizes: Mapping[str, int]


def exported_count(target: Target) -> ExportedCount:
    """Export a network in evaluation mode, and count every node.

    Args:
        target: the network with its call.

    Raises:
        ArchscopeError: the network cannot be built or exported.
    """
    from archscope.analysis import borrow

    subject, call = target.called()

    def run(network: Any, arguments: Any, on_meta: bool) -> ExportedCount:
        borrow.set_training(network, False)
        args, kwargs = arguments
        return _counted(_program(subject.name, network, args, kwargs))

    return executed(subject, call, run)[0]


def _program(name: str, network: Any, args: Any, kwargs: Any) -> ExportedProgram:
    import torch

    try:
        return torch.export.export(network, args, kwargs)
    except Exception as error:
        problem = f"torch.export cannot export it: {first_line(error)}"
        raise ArchscopeError(name, problem, "give a network that it can export") from error


def _counted(program: ExportedProgram) -> ExportedCount:
    """Run the nodes one by one on tensors without storage."""
    import torch

    placeholders = [node for node in program.graph.nodes if node.op == "placeholder"]
    values = [_without_storage(node.meta.get("val")) for node in placeholders]
    layers, _ = run_once(_by_node(program.graph_module), (tuple(values), {}), False, True)
    parameters = program.graph_signature.inputs_to_parameters
    return ExportedCount(
        {layer.name.removeprefix(_PREFIX): layer for layer in layers if layer.name},
        {
            node.name: value.numel()
            for node, value in zip(placeholders, values, strict=True)
            if node.name in parameters and isinstance(value, torch.Tensor)
        },
    )


_PREFIX = "node_"
"""Before the names of nodes: some, such as `float`, are those of a module's own methods."""


def _without_storage(value: Any) -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _by_node(graph: fx.GraphModule) -> Any:
    """The same program, whose every operator is a module that has the node's name."""
    from torch import nn

    class Node(nn.Module):
        def __init__(self, operator: Any) -> None:
            super().__init__()
            self.operator = operator

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return self.operator(*args, **kwargs)

    class Program(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for node in graph.graph.nodes:
                if node.op == "call_function":
                    self.add_module(_PREFIX + node.name, Node(node.target))

        def forward(self, *inputs: Any) -> Any:
            given, known = iter(inputs), {}
            for node in graph.graph.nodes:
                if node.op == "placeholder":
                    known[node] = next(given)
                elif node.op == "get_attr":
                    known[node] = getattr(graph, node.target)
                elif node.op == "call_function":
                    args, kwargs = _values(node.args, known), _values(node.kwargs, known)
                    known[node] = getattr(self, _PREFIX + node.name)(*args, **kwargs)
            return known[node.all_input_nodes[0]]

    return Program().eval()


def _values(arguments: Any, known: Mapping[Any, Any]) -> Any:
    from torch.fx.node import map_arg

    return map_arg(arguments, lambda node: known[node])
