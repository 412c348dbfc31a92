"""The table of known contents: each storage on meta with the operators that make what it holds.

A storage that is written to has new contents, made of the earlier ones; no contents ever change.
So the user's tensors serve as they are, and are only read.
Memory that NumPy or a raw address shares changes without an operator: each operator takes a copy of
what it holds, and what is written to it needs a run with values.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from archscope.analysis.values.needed import ValueNeeded
from archscope.process import finaliser

ADDRESS: Callable[[Tensor], int] = torch._C._storage_address  # type: ignore[attr-defined]
PLAIN = (Tensor, nn.Parameter)
is_meta: Callable[[Tensor], bool] = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]


class Step:
    """One operator that ran on known contents, to be computed when somebody asks.

    Args:
        function: the operator.
        args: with a `View` or `Shape` in place of each tensor.
        kwargs: likewise.
        seed: of an operator that draws random numbers.
    """

    __slots__ = ("args", "done", "function", "kwargs", "results", "seed")

    def __init__(self, function: Any, args: Any, kwargs: Any, seed: int | None) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.seed = seed
        self.results: list[tuple[weakref.ref[Contents], Any, View | _Flat]] = []
        self.done = False

    def makes(self, tensor: Tensor, place: int | str | None, writes: bool) -> None:
        """Say that the storage of a tensor on meta holds what this step makes.

        Args:
            tensor: a result on meta, or an argument.
            place: of the result among several, or of the argument that the step writes to.
            writes: which of the two.
        """
        contents = Contents(self)
        know(tensor, contents)
        self.results.append((weakref.ref(contents), (writes, place), View(tensor, contents)))

    def before(self) -> list[Contents]:
        """What has to be there first."""
        return [view.contents for view in _views((self.args, self.kwargs))]

    def bytes(self) -> int:
        """Of the results that are still asked for, with those that it does not say."""
        return sum(view.nbytes for _, _, view in self.results)

    def run(self) -> None:
        """Compute, and let go of what it was made of."""
        written = {place for _, (writes, place), _ in self.results if writes}
        args = [_real(arg, place in written) for place, arg in enumerate(self.args)]
        kwargs = {key: _real(arg, key in written) for key, arg in self.kwargs.items()}
        if self.seed is None:
            out = self.function(*args, **kwargs)
        else:
            out = _drawn(self.seed, self.function, args, kwargs)
        for contents, (writes, place), view in self.results:
            held = contents()
            if held is not None:
                if writes:
                    made = args[place] if isinstance(place, int) else kwargs[place]
                else:
                    made = out if place is None else out[place]
                held.settle(view.fitted(made))
        self.done = True
        self.args, self.kwargs, self.results = (), {}, []


class Contents:
    """What a storage holds: bytes in memory, or the step that makes them.

    `borrowers` tell whether others than tensors still see the bytes, and may change them.
    """

    __slots__ = ("__weakref__", "borrowers", "step", "storage")

    def __init__(self, source: Step | torch.UntypedStorage) -> None:
        self.step = source if isinstance(source, Step) else None
        self.storage = None if isinstance(source, Step) else source
        self.borrowers: list[Callable[[], object]] = []

    @property
    def is_shared(self) -> bool:
        return any(borrowed() is not None for borrowed in self.borrowers)

    def now(self) -> Contents:
        """What does not change: these, or a copy of what others may write to."""
        return Contents(_copy(self.bytes())) if self.is_shared else self

    def settle(self, storage: torch.UntypedStorage) -> None:
        self.storage, self.step = storage, None

    def bytes(self) -> torch.UntypedStorage:
        """The bytes, computed where they are not there yet."""
        if self.storage is None:
            _compute(self)
        assert self.storage is not None
        return self.storage


class View:
    """A tensor as an operator saw it: contents, and how they are looked at."""

    __slots__ = ("contents", "dtype", "nbytes", "offset", "shape", "stride")

    def __init__(self, tensor: Tensor, contents: Contents) -> None:
        self.contents = contents
        self.dtype = tensor.dtype
        self.shape = tensor.shape
        self.stride = tensor.stride()
        self.offset = tensor.storage_offset()
        self.nbytes = tensor.untyped_storage().nbytes()

    def over(self, storage: torch.UntypedStorage) -> Tensor:
        empty: Any = torch.empty(0, dtype=self.dtype)
        tensor: Tensor = empty.set_(storage, self.offset, self.shape, self.stride)
        return tensor

    def real(self, copied: bool = False) -> Tensor:
        """The tensor with its values; with others' memory unless it is copied."""
        storage = self.contents.bytes()
        return self.over(_copy(storage) if copied else storage)

    def fitted(self, made: Tensor) -> torch.UntypedStorage:
        """The storage of a computed tensor, in the layout that its twin on meta has."""
        storage = made.untyped_storage()
        alike = made.stride() == self.stride and made.storage_offset() == self.offset
        if alike and made.dtype is self.dtype and storage.nbytes() >= self.nbytes:
            return storage
        storage = torch.empty(self.nbytes, dtype=torch.uint8).untyped_storage()
        self.over(storage).copy_(made)
        return storage


class Shape:
    """A tensor of which an operator looks at the shape and dtype alone."""

    __slots__ = ("dtype", "shape")

    def __init__(self, tensor: Tensor) -> None:
        self.shape = tensor.shape
        self.dtype = tensor.dtype

    def real(self, copied: bool = False) -> Tensor:
        return torch.zeros((), dtype=self.dtype).expand(self.shape)


class _Flat:
    """All of a storage, however long."""

    __slots__ = ("nbytes",)

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def fitted(self, made: Tensor) -> torch.UntypedStorage:
        return made.untyped_storage()


def _copy(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    copied: torch.UntypedStorage = storage.clone()  # type: ignore[no-untyped-call]
    return copied


def blank(tensor: Tensor) -> View:
    """A tensor that is about to be overwritten, as zeros."""
    nbytes = tensor.untyped_storage().nbytes()
    step = Step(torch.zeros, [nbytes], {"dtype": torch.uint8}, None)
    contents = Contents(step)
    step.results.append((weakref.ref(contents), (False, None), _Flat(nbytes)))
    return View(tensor, contents)


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
        contents = Contents(_copy(contents.bytes()))
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
    if not TABLE or tensor.layout is not torch.strided:
        return False
    held = TABLE.get(ADDRESS(tensor))
    return held is not None and held.contents is ON_META


def contents_of(tensor: Tensor) -> Contents | None:
    """What a plain tensor's storage holds; `None` where that is not known."""
    held = TABLE.get(ADDRESS(tensor))
    if held is not None:
        found = held.contents
        return None if found is None or found in (ON_META, UNKNOWN) else found.now()
    if is_meta(tensor):
        return None
    values = tensor.detach().cpu().untyped_storage()
    return Contents(values if owns_its_memory(tensor) else _copy(values))


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


def _compute(wanted: Contents) -> None:
    """Compute contents, and first all that they are made of; without recursion."""
    assert wanted.step is not None
    pending = [wanted.step]
    with torch.no_grad():
        while pending:
            step = pending[-1]
            if step.done:
                pending.pop()
                continue
            before = [c.step for c in step.before() if c.step is not None and not c.step.done]
            if before:
                pending += before
            else:
                step.run()
                pending.pop()


def _views(value: Any) -> Iterator[View]:
    if isinstance(value, View):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _views(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _views(item)


def _real(value: Any, copied: bool) -> Any:
    if isinstance(value, (View, Shape)):
        return value.real(copied)
    if isinstance(value, (tuple, list)):
        return type(value)(_real(item, copied) for item in value)
    return value


def _drawn(seed: int, function: Any, args: Any, kwargs: Any) -> Any:
    """What an operator draws from generators of a seed, which are put back as they were."""
    generator = torch.default_generator
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        return function(*args, **kwargs)
    finally:
        generator.set_state(state)
