"""Memory that NumPy, a buffer, a storage or an address shares changes without an operator.

The networks take the dear way or the cheap one as in `test_answers.py`, and each swallows errors.
"""

from __future__ import annotations

import copy
import ctypes
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

import archscope
from tests.analysis.values.test_answers import DEAR, Ways, X, swallowing, way

dlpack: Any = importlib.import_module("torch.utils.dlpack")

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{what}")
    for what in ("TypedStorage is deprecated", "The argument 'device' of Tensor.is_pinned")
]
"""What PyTorch's own code says where it looks below its tensors."""


def array() -> Any:
    return numpy.zeros(1, dtype=numpy.float32)


def written_through(tensor: Tensor, x: Tensor, seen: Any) -> Any:
    """What shares the memory of a tensor after something unknown was added to it."""
    tensor.add_(x.sum())
    return seen


def lent(x: Tensor, look: Callable[[Tensor], Any]) -> Any:
    tensor = torch.zeros(1)
    return written_through(tensor, x, look(tensor))[0]


def borrowed(x: Tensor, make: Callable[[Any], Tensor]) -> Any:
    own = array()
    return written_through(make(own), x, own)[0]


def in_buffer(x: Tensor) -> bool:
    own = bytearray(4)
    return bool(written_through(torch.frombuffer(own, dtype=torch.float32), x, own) != bytes(4))


def at(address: int) -> float:
    return ctypes.c_float.from_address(address).value


NEEDS_A_REAL_RUN: dict[str, Callable[..., Any]] = {
    "from_numpy": lambda self, x: borrowed(x, torch.from_numpy) > 0,
    "as_tensor": lambda self, x: borrowed(x, torch.as_tensor) > 0,
    "asarray": lambda self, x: borrowed(x, torch.asarray) > 0,
    "from_dlpack": lambda self, x: borrowed(x, dlpack.from_dlpack) > 0,
    "a view of it": lambda self, x: borrowed(x, lambda own: torch.from_numpy(own[:])) > 0,
    "a buffer": lambda self, x: in_buffer(x),
    "its array": lambda self, x: lent(x, lambda t: t.numpy()) > 0,
    "an array of it": lambda self, x: lent(x, numpy.asarray) > 0,
    "a part of its array": lambda self, x: lent(x, lambda t: t.numpy()[:]) > 0,
    "a view of its memory": lambda self, x: (
        lent(x, lambda t: memoryview(numpy.asarray(t).data)) > 0
    ),
    "a capsule": lambda self, x: lent(x, numpy.from_dlpack) > 0,
    "a tensor of a capsule": lambda self, x: lent(x, dlpack.from_dlpack) > 0,
    "an old capsule": lambda self, x: dlpack.from_dlpack(dlpack.to_dlpack(x)).sum() > 0,
    "its address": lambda self, x: at(x.data_ptr()) > 0,
    "its storage": lambda self, x: x.untyped_storage()[3] != 0,
    "its typed storage": lambda self, x: x._typed_storage()[0] > 0,
    "the address of its storage": lambda self, x: at(x.untyped_storage().data_ptr()) > 0,
    "its pickle": lambda self, x: pickle.loads(pickle.dumps(x)).sum() > 0,
    "a known pickle": lambda self, x: pickle.loads(pickle.dumps(torch.ones(2))).sum() == 2,
    "a function of its elements": lambda self, x: x.clone().apply_(abs).sum() > 0,
}


@pytest.mark.parametrize("question", NEEDS_A_REAL_RUN)
def test_what_others_see_of_unknown_values_is_answered_by_a_real_run(question: str) -> None:
    says = NEEDS_A_REAL_RUN[question]
    assert Ways(says)(X).shape == (2, 1000)
    summary = archscope.summary(Ways(swallowing(says, BaseException)), X)
    assert way(summary) == DEAR
    assert summary.analysis.executed_on == "cpu"


def by_numpy(look: Callable[[Tensor], Any], number: int) -> bool:
    """Whether what NumPy writes is read by tensors from then on, and not before."""
    tensor = torch.zeros(3)
    before, seen = tensor + 1, look(tensor)
    seen[0] = number
    after = tensor * 2
    seen[0] = -1
    return before[0].item() == 1 and after[0].item() == 2 * number and tensor[0].item() == -1


def of_numpy() -> bool:
    own = numpy.zeros((4, 4), dtype=numpy.float32)
    tensor = torch.from_numpy(own[::2, 1:])
    before = tensor + 1
    own[2, 1] = 5
    return before[1, 0].item() == 1 and tensor[1, 0].item() == 5


STAYS_ON_META: dict[str, Callable[..., Any]] = {
    "written by NumPy": lambda self, x: by_numpy(lambda t: t.numpy(), 7),
    "written over a capsule": lambda self, x: by_numpy(numpy.from_dlpack, 7),
    "written at its address": lambda self, x: by_numpy(
        lambda t: (ctypes.c_float * 3).from_address(t.data_ptr()), 7
    ),
    "an array written": lambda self, x: of_numpy(),
    "an array of nobody's": lambda self, x: torch.from_numpy(array() + 1).mul_(2).item() == 2,
    "an array let go": lambda self, x: lent(X, lambda t: (t.numpy()[0],)) == 0,
    "a copy of the object": lambda self, x: copy.copy(x).shape == x.shape,
    "where its storage is": lambda self, x: x.untyped_storage().device.type == "cpu",
    "where its old storage is": lambda self, x: x._typed_storage().device == x.device,
    "not on a GPU": lambda self, x: not x.untyped_storage().is_cuda,
    "the size of its storage": lambda self, x: x[1:].untyped_storage().nbytes() == 64,
}


@pytest.mark.parametrize("question", STAYS_ON_META)
def test_what_others_see_of_known_values_is_answered_on_meta(question: str) -> None:
    says = STAYS_ON_META[question]
    assert Ways(says)(X).shape == (2, 1000)
    summary = archscope.summary(Ways(says), X)
    assert way(summary) == DEAR
    assert summary.analysis.executed_on == "meta"


def from_array(network: Ways) -> None:
    network.__dict__["array"] = numpy.zeros((3, 4), dtype=numpy.float32)
    network.register_buffer("table", torch.from_numpy(vars(network)["array"]))


def to_array(network: Ways) -> None:
    network.register_buffer("table", torch.zeros(3, 4, dtype=torch.long))
    network.__dict__["array"] = network.table.numpy()


def views(network: Ways) -> None:
    from_array(network)
    network.__dict__["rows"] = vars(network)["array"][1:]
    network.__dict__["part"] = network.table[1:]


HELD: list[tuple[Callable[[Ways], None], Callable[..., Any]]] = [
    (from_array, lambda self, x: self.table.add_(x.sum()) is not None and self.array[0, 0] == 16),
    (from_array, lambda self, x: self.array.fill(5) is None and self.table[0, 0] == 5),
    (to_array, lambda self, x: self.table.add_(1) is not None and self.array[0, 0] == 1),
    (to_array, lambda self, x: self.array.fill(5) is None and self.table.sum() == 60),
    (views, lambda self, x: self.part.add_(x.sum()) is not None and self.rows[0, 0] == 16),
    (views, lambda self, x: self.rows.fill(5) is None and self.array.sum() == 40),
]


@pytest.mark.parametrize(("holds", "says"), HELD)
def test_an_array_held_beside_its_tensor_shares_its_memory_in_the_copy(
    holds: Callable[[Ways], None], says: Callable[..., Any]
) -> None:
    network = Ways(says)
    holds(network)
    assert way(archscope.summary(network, X)) == DEAR
    assert not network.table.any()
    assert not vars(network)["array"].any()
    assert network(X).shape == (2, 1000)
