"""The table of known contents: what each storage on meta holds, by its address.

Memory that NumPy or a raw address shares changes without an operator: each operator takes a copy of
what it holds, and what is written to it needs a run with values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from archscope.analysis.values.contents import (
    ADDRESS,
    Contents,
    View,
    copied_bytes,
    is_meta,
)
from archscope.analysis.values.draws import Chance
from archscope.analysis.values.needed import ValueNeeded
from archscope.process import finaliser


class _Held(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to a storage that knows its contents; `None` where they are lost."""

    __slots__ = ("address", "contents")

    address: int
    contents: Contents | None


TABLE: dict[int, _Held] = {}
"""By the address of the storage; an entry goes when its storage does."""


@finaliser
def _gone(held: _Held) -> None:
    if TABLE.get(held.address) is held:
        del TABLE[held.address]


def know(tensor: Tensor, contents: Contents | None) -> None:
    """Say what the storage of a tensor holds from now on; `None` for what nobody knows.

    Raises:
        ValueNeeded: others than tensors see what it held so far, and would not see this.
    """
    address = ADDRESS(tensor)
    held = TABLE.get(address)
    _require_alone(tensor, held)
    if held is None:
        held = _Held(tensor.untyped_storage(), _gone)
        held.address = address
        held.contents = contents
        TABLE[address] = held
    else:
        held.contents = contents


def _require_alone(tensor: Tensor, held: _Held | None) -> None:
    if held is None:
        shared = not is_meta(tensor) and not owns_its_memory(tensor)
    else:
        shared = held.contents is not None and held.contents.is_shared
    if shared:
        raise ValueNeeded


def owns_its_memory(tensor: Tensor) -> bool:
    """Whether PyTorch allocated a tensor's memory and never lent it to NumPy.

    It marks what it lends or borrows as not to be resized.
    """
    owns: bool = tensor.untyped_storage().resizable()
    return owns


def lend(tensor: Tensor) -> tuple[Tensor, Contents]:
    """A known tensor in memory of its own, for others than tensors to look into; see `Contents`.

    Returns:
        the tensor, and the contents that are to know who borrows them.
    """
    held = TABLE.get(ADDRESS(tensor))
    assert held is not None and held.contents is not None
    contents = held.contents
    if not contents.is_shared:  # bytes of the user's, or of other contents
        contents = Contents(copied_bytes(contents.bytes()), contents.chance)
        know(tensor, contents)
    return View(tensor, contents).real(), contents


def borrow(real: Tensor) -> Tensor:
    """The twin on meta of a tensor over the memory of an array or a buffer, which may change."""
    twin = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device="meta")
    contents = Contents(real.untyped_storage())
    contents.borrowers.append(forever)
    know(twin, contents)
    return twin


def lend_to_array(tensor: Tensor, memory: torch.UntypedStorage) -> None:
    """Say that an array shares the memory of a tensor on meta for as long as the run lasts.

    Args:
        tensor: known or not.
        memory: of the array; what a known tensor holds from now on.
    """
    held = TABLE.get(ADDRESS(tensor))
    if held is None:
        know(tensor, UNKNOWN)
        return
    contents = Contents(memory)
    contents.borrowers.append(forever)
    know(tensor, contents)


def forever() -> object:
    """Who may borrow memory for as long as the run lasts."""
    return forever


def ask_whether_lent(tensor: Tensor, lender: Callable[[], object]) -> None:
    """Let a lender tell whether anybody else still looks into the memory of a tensor on meta.

    Args:
        tensor: made by `borrow`.
        lender: returns `None` once nobody does.
    """
    held = TABLE.get(ADDRESS(tensor))
    if held is not None and held.contents is not None:
        held.contents.borrowers = [lender]


def sweep() -> None:
    """Drop what storages held that are gone, should their end have been interrupted."""
    for address, held in list(TABLE.items()):
        if held() is None:
            del TABLE[address]


ON_META = Contents(torch.empty(0).untyped_storage())
"""What is held by storages that the network itself makes on meta: nothing, as PyTorch has it."""

UNKNOWN = Contents(torch.empty(0).untyped_storage())
UNKNOWN.borrowers.append(forever)
"""What is held by storages of which nobody knows the values, and an array sees what is written."""


def make_on_meta(tensor: Tensor) -> Tensor:
    """Say that the network itself made a tensor on meta, where its other tensors only seem to be.

    Returns:
        the tensor.
    """
    know(tensor, ON_META)
    return tensor


def was_made_on_meta(tensor: Tensor) -> bool:
    """Whether the network itself made a tensor on meta."""
    if not TABLE or tensor.layout is not torch.strided or _is_mapped(tensor):
        return False
    held = TABLE.get(ADDRESS(tensor))
    return held is not None and held.contents is ON_META


def _is_mapped(tensor: Tensor) -> bool:
    """Whether a tensor is one of `torch.func`'s around another, and has no memory of its own."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def contents_of(tensor: Tensor) -> Contents | None:
    """What a plain tensor's storage holds; `None` where that is not known."""
    held = TABLE.get(ADDRESS(tensor))
    if held is not None:
        found = held.contents
        return None if found is None or found in (ON_META, UNKNOWN) else found.now()
    if is_meta(tensor):
        return None
    values = tensor.detach().cpu().untyped_storage()
    return Contents(values if owns_its_memory(tensor) else copied_bytes(values))


def chance_of(tensor: Tensor) -> Chance:
    """What random draws have to do with the values of a tensor."""
    held = TABLE.get(ADDRESS(tensor))
    return Chance.NONE if held is None or held.contents is None else held.contents.chance


def forget(tensor: Tensor) -> None:
    """Something unknown was written to a tensor: its storage is known by shape alone.

    Raises:
        ValueNeeded: as `know`.
    """
    if not is_meta(tensor):
        know(tensor, None)
    else:
        _require_alone(tensor, TABLE.get(ADDRESS(tensor)))
        TABLE.pop(ADDRESS(tensor), None)


def value_of(tensor: Tensor) -> Tensor:
    """A tensor with its values; never to be written to.

    Raises:
        ValueNeeded: they are not known.
    """
    contents = contents_of(tensor)
    if contents is None:
        raise ValueNeeded
    with torch.no_grad():
        return View(tensor, contents).real()
