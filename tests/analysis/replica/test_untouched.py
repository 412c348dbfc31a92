"""What is handed in is read only: networks and arguments that are awkward to copy."""

from __future__ import annotations

import dataclasses
import functools
import types
import weakref
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from typing import Any

import pytest
import torch
import torch.fx
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import archscope


class Linear8(nn.Module):
    """Calls one layer of 8·8 multiply-accumulates a row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def macs(network: nn.Module, *arguments: Any) -> int:
    return archscope.summary(network, arguments).total.macs


X = torch.ones(2, 8)
ROW = 2 * 8 * 8


class Frozen(OrderedDict):
    """As the configurations of diffusers: it cannot be changed once it is made."""

    def __setitem__(self, key: str, value: Any) -> None:
        if self.__dict__.get("frozen"):
            raise TypeError("frozen")
        super().__setitem__(key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("frozen"):
            raise TypeError("frozen")
        super().__setattr__(name, value)

    update = clear = pop = __delitem__ = __setitem__


def frozen(**items: Any) -> Frozen:
    made = Frozen(items)
    made.frozen = True
    return made


def test_a_mapping_that_cannot_be_filled_is_copied_all_the_same() -> None:
    class Net(Linear8):
        def forward(self, x: Tensor) -> Tensor:
            assert isinstance(self.config, Frozen)
            assert list(self.config.items()) == [("a", 1), ("b", [2])]
            self.config["b"].append(3)
            return super().forward(x)

    network = Net()
    network.config = frozen(a=1, b=[2])
    assert macs(network, X) == ROW
    assert network.config == {"a": 1, "b": [2]}
    assert network.layer.weight.device.type == "cpu"


def test_a_replaced_forward_and_a_hook_work_on_the_copy() -> None:
    network = Linear8()
    seen: list[Any] = []
    network.seen = seen
    network.register_forward_hook(lambda module, args, out: seen.append(out))
    network.forward = types.MethodType(lambda self, x: self.layer(self.layer(x)), network)
    assert macs(network, X) == 2 * ROW
    assert seen == []


def test_a_closure_over_the_network_runs_the_copy() -> None:
    network, calls = Linear8(), 0

    def forward(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        network.last = network.layer(x)
        return network.last

    network.forward = forward
    assert macs(network, X) == ROW
    assert calls == 0
    assert "last" not in vars(network)


class Slotted:
    __slots__ = ("hidden", "twice", "unset")

    def __init__(self, hidden: Tensor) -> None:
        self.hidden = hidden
        self.twice = [hidden]


@dataclasses.dataclass(frozen=True)
class Sealed:
    items: dict[str, Any]


class Guarded:
    """Its attribute is behind a property that only reads."""

    def __init__(self, state: list[Any]) -> None:
        self.__dict__["_state"] = state

    @property
    def state(self) -> list[Any]:
        return self._state

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


Pair = namedtuple("Pair", "first second")

HOLDERS: dict[str, Any] = {
    "a list in a list": lambda h: [[h]],
    "dictionaries": lambda h: {"a": {"b": h}},
    "a deque": lambda h: deque([h], maxlen=4),
    "a default dictionary": lambda h: defaultdict(list, a=[h]),
    "a user's dictionary": lambda h: UserDict(a=h),
    "a namespace": lambda h: types.SimpleNamespace(h=h, n=0),
    "slots": Slotted,
    "a frozen dataclass": lambda h: Sealed({"h": h}),
    "a property": lambda h: Guarded([h]),
    "a named tuple": lambda h: Pair([h], h),
    "a read-only view": lambda h: types.MappingProxyType({"h": [h]}),
    "a partial": lambda h: functools.partial(max, h, key=[h]),
    "a set": lambda h: {h},
    "a frozen set": lambda h: frozenset({(h,)}),
    "a cell": lambda h: lambda: h,
}


def spoil(value: Any, seen: set[int]) -> None:
    """Change all that can be changed of an object graph, as a forward pass might."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        value.add_(1)
    elif isinstance(value, (list, deque)):
        for item in list(value):
            spoil(item, seen)
        value.append(1)
    elif isinstance(value, (dict, UserDict, types.MappingProxyType)):
        for item in list(value.values()):
            spoil(item, seen)
        if not isinstance(value, types.MappingProxyType):
            value["more"] = 1
    elif isinstance(value, (tuple, set, frozenset)):
        for item in list(value):
            spoil(item, seen)
        if isinstance(value, set):
            value.clear()
    elif isinstance(value, functools.partial):
        spoil([*value.args, *value.keywords.values()], seen)
    elif isinstance(value, types.FunctionType):
        spoil([cell.cell_contents for cell in value.__closure__], seen)
    elif isinstance(value, (Slotted, Sealed, Guarded, types.SimpleNamespace)):
        names = getattr(value, "__slots__", None) or list(vars(value))
        for name in names:
            if hasattr(value, name):
                spoil(getattr(value, name), seen)
                object.__setattr__(value, name, 0)


def looks(value: Any, seen: dict[int, int]) -> Any:
    """All that an object graph is, with what is one object and what are two."""
    if id(value) in seen:
        return "seen", seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, Tensor):
        return id(value), value.device.type, value.tolist(), value._version
    if isinstance(value, (list, deque, tuple, set, frozenset)):
        return type(value), [looks(item, seen) for item in value]
    if isinstance(value, (dict, UserDict, types.MappingProxyType)):
        return type(value), [(key, looks(item, seen)) for key, item in value.items()]
    if isinstance(value, functools.partial):
        return looks([value.args, value.keywords], seen)
    if isinstance(value, types.FunctionType):
        return id(value), [looks(cell.cell_contents, seen) for cell in value.__closure__]
    if isinstance(value, (Slotted, Sealed, Guarded, types.SimpleNamespace)):
        names = getattr(value, "__slots__", None) or sorted(vars(value))
        return [(name, looks(getattr(value, name, None), seen)) for name in names]
    return value


@pytest.mark.parametrize("place", ["on the network", "as an argument"])
@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt])
def test_what_a_forward_pass_spoils_is_a_copy(
    holder: str, place: str, end: type[BaseException] | None
) -> None:
    class Net(Linear8):
        def forward(self, x: Tensor, state: Any = None) -> Tensor:
            y = self.layer(x)
            spoil(self.state if state is None else state, set())
            if end is not None:
                raise end
            return y

    network, state = Net(), HOLDERS[holder](torch.ones(2, 8))
    arguments = [X]
    if place == "as an argument":
        arguments.append(state)
    else:
        network.state = state
    before = looks([state, list(network.parameters()), X], {})
    if end is None:
        assert macs(network, *arguments) == ROW
    else:
        with pytest.raises((archscope.ArchscopeError, KeyboardInterrupt)):
            macs(network, *arguments)
    assert looks([state, list(network.parameters()), X], {}) == before


HASHED = ("a set", "a frozen set")
"""Holders of what can be hashed alone."""


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(HOLDERS.keys() - HASHED)), min_size=2, max_size=5),
    st.sampled_from([None, ValueError, KeyboardInterrupt]),
    st.booleans(),
)
def test_what_is_spoilt_of_nested_holders_is_a_copy(
    holders: list[str], end: type[BaseException] | None, aliased: bool
) -> None:
    """Holders in holders, in the network and its arguments alike, one tensor at several places."""
    tensor = torch.ones(2, 8)
    state: Any = tensor
    for holder in holders:
        state = HOLDERS[holder]([state, tensor] if aliased else state)

    class Net(Linear8):
        def forward(self, x: Tensor, given: Any) -> Tensor:
            y = self.layer(x)
            assert given is self.state
            spoil([given, x], set())
            if end is not None:
                raise end
            return y

    network = Net()
    network.state = state
    before = looks([state, list(network.parameters()), X], {})
    if end is None:
        assert macs(network, X, state) == ROW
    else:
        with pytest.raises((archscope.ArchscopeError, KeyboardInterrupt)):
            macs(network, X, state)
    assert looks([state, list(network.parameters()), X], {}) == before


def test_one_object_in_network_and_arguments_is_one_object_in_the_copy() -> None:
    class Net(Linear8):
        def forward(self, x: Tensor, state: dict[str, Any], view: Tensor) -> Tensor:
            assert state is self.state
            assert state["x"] is x
            assert state["self"] is self
            assert self.back() is self
            assert view.untyped_storage()._cdata == x.untyped_storage()._cdata
            assert self.index[self.layer] == "layer"
            return self.layer(x)

    network, x = Net(), torch.ones(2, 8)
    network.state = {"x": x, "self": network}
    network.back = weakref.ref(network)
    network.index = {network.layer: "layer"}
    assert macs(network, x, network.state, x[:1]) == ROW


def test_an_object_that_cannot_be_copied_is_named() -> None:
    network = Linear8()
    network.steps = (step for step in range(3))
    with pytest.raises(archscope.ArchscopeError, match="Linear8: holds a generator, which cannot"):
        macs(network, X)
    assert list(network.steps) == [0, 1, 2]


def test_a_node_of_a_traced_graph_leaves_its_graph_as_it_is() -> None:
    """A graph of `torch.fx` has a table of its nodes, which copied nodes would enter."""
    network = Linear8()
    network.traced = torch.fx.symbolic_trace(Linear8())
    network.nodes = list(network.traced.graph.nodes)
    table = network.traced.graph._find_nodes_lookup_table.table
    before = {key: list(nodes) for key, nodes in table.items()}
    assert macs(network, X) == ROW
    assert {key: list(nodes) for key, nodes in table.items()} == before


def test_depth_does_not_matter() -> None:
    network = Linear8()
    network.chain = []
    for _ in range(5000):
        network.chain = [network.chain]
    assert macs(network, X) == ROW


def test_a_copy_has_the_class_of_its_original() -> None:
    class Net(Linear8):
        def forward(self, output: OrderedDict[str, Any]) -> Tensor:
            assert type(output) is Frozen
            return self.layer(output["x"])

    assert macs(Net(), frozen(x=X)) == ROW
