"""Copies of NumPy's arrays: those that share memory, with others or tensors, share it again."""

from __future__ import annotations

import sys
from typing import Any

import torch

from archscope.analysis.replica.graph import Replica
from archscope.analysis.values.known import lend_to_array

MOST_BYTES = 2**26
"""Of an array that is copied for the sake of a view of it."""


def copy_array(copies: Replica, value: Any) -> Any:
    twin = _view(copies, value)
    if twin is None:
        twin = value.copy(order="K")
        if value.dtype.hasobject:
            twin[...] = value
            for place, item in enumerate(value.flat):
                twin.flat[place] = copies.twin(item)
        copies.arrays.append((value, twin))
    twin.flags.writeable = value.flags.writeable
    return copies.add(value, twin)


def _view(copies: Replica, value: Any) -> Any:
    """A view of the copy of the array that a value is a view of; `None` where it is none."""
    numpy: Any = sys.modules["numpy"]
    base = value.base
    if type(value) is not numpy.ndarray or type(base) is not numpy.ndarray:
        return None
    if value.dtype.hasobject or base.nbytes > MOST_BYTES or not base.flags.forc:
        return None
    memory = copies.twin(base).ravel(order="K").view(numpy.uint8)
    offset = value.ctypes.data - base.ctypes.data
    return numpy.ndarray(value.shape, value.dtype, memory, offset, value.strides)


def share_with_tensors(copies: Replica) -> None:
    """Let copies of arrays and of tensors that share memory share it again.

    A tensor and an array share all of it, as `torch.from_numpy` and `Tensor.numpy` have it.
    """
    places = {
        array.ctypes.data: (array, twin)
        for array, twin in copies.arrays
        if array.nbytes and array.flags.forc and not array.dtype.hasobject
    }
    if not places:
        return
    for value, stand_in in copies.stand_ins():
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_meta:
            continue
        storage = value.untyped_storage()
        array, twin = places.get(storage.data_ptr(), (None, None))
        if array is None or storage.nbytes() != array.nbytes:
            continue
        del places[storage.data_ptr()]  # its views share it already
        flat = twin.ravel(order="K").view(sys.modules["numpy"].uint8)
        memory = torch.from_numpy(flat).untyped_storage()
        if stand_in.is_meta:
            lend_to_array(stand_in, memory)
        elif stand_in.untyped_storage().resizable():
            own: Any = memory  # whose method is missing from torch's own stubs
            own._swap_data_ptr_(stand_in.untyped_storage())
