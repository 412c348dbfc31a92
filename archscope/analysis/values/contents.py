"""What a storage on meta holds: bytes, or the operators that make them, run when somebody asks.

A storage that is written to has new contents, made of the earlier ones; no contents ever change.
So the user's tensors serve as they are, and are only read.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from archscope.analysis.values.draws import Chance

ADDRESS: Callable[[Tensor], int] = torch._C._storage_address  # type: ignore[attr-defined]
PLAIN = (Tensor, nn.Parameter)
is_meta: Callable[[Tensor], bool] = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]


class Step:
    """One operator that ran on known contents, to be computed when somebody asks.

    Args:
        function: the operator.
        args: with a `View` or `Shape` in place of each tensor.
        kwargs: likewise.
        seed: of an operator that draws random numbers on demand.
        chance: what its operands and its own draws have to do with chance.
    """

    __slots__ = ("args", "chance", "done", "function", "kwargs", "results", "seed")

    def __init__(self, function: Any, args: Any, kwargs: Any, seed: int | None) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.seed = seed
        self.chance: Chance = max((made.chance for made in self.before()), default=Chance.NONE)
        self.results: list[tuple[weakref.ref[Contents], Any, View | _Flat]] = []
        self.done = False

    def makes(self, tensor: Tensor, place: int | str | None, writes: bool) -> Contents:
        """What the storage of a tensor on meta holds once this step has run.

        Args:
            tensor: a result on meta, or an argument.
            place: of the result among several, or of the argument that the step writes to.
            writes: which of the two.
        """
        contents = Contents(self)
        self.results.append((weakref.ref(contents), (writes, place), View(tensor, contents)))
        return contents

    def before(self) -> list[Contents]:
        """What has to be there first."""
        return [view.contents for view in _views((self.args, self.kwargs))]

    def bytes(self) -> int:
        """Of the results that are still asked for, with those that it does not say."""
        return sum(view.nbytes for _, _, view in self.results)

    def compute(self) -> None:
        """Compute, and first what it is made of."""
        for contents in self.before():
            contents.bytes()
        with torch.no_grad():
            self.run()

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

    __slots__ = ("__weakref__", "borrowers", "chance", "step", "storage")

    def __init__(self, source: Step | torch.UntypedStorage, chance: Chance = Chance.NONE) -> None:
        self.step = source if isinstance(source, Step) else None
        self.chance: Chance = chance if self.step is None else self.step.chance
        self.storage = None if isinstance(source, Step) else source
        self.borrowers: list[Callable[[], object]] = []

    @property
    def is_shared(self) -> bool:
        return any(borrowed() is not None for borrowed in self.borrowers)

    def now(self) -> Contents:
        """What does not change: these, or a copy of what others may write to."""
        return Contents(copied_bytes(self.bytes()), self.chance) if self.is_shared else self

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
        return self.over(copied_bytes(storage) if copied else storage)

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


def copied_bytes(storage: torch.UntypedStorage) -> torch.UntypedStorage:
    copied: torch.UntypedStorage = storage.clone()  # type: ignore[no-untyped-call]
    return copied


def blank(tensor: Tensor) -> View:
    """A tensor that is about to be overwritten, as zeros."""
    nbytes = tensor.untyped_storage().nbytes()
    step = Step(torch.zeros, [nbytes], {"dtype": torch.uint8}, None)
    contents = Contents(step)
    step.results.append((weakref.ref(contents), (False, None), _Flat(nbytes)))
    return View(tensor, contents)


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
