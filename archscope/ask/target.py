"""What the user names, decided once where it enters: a network with its call, or a saved record.

Below this nobody asks whether a name is one of a file, and no input is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import isroutine
from typing import TYPE_CHECKING, Any

from archscope.ask.network.inputs import Tensors, read_input
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import Analysis, BatchSweep, Dim, InputSpec, Profile, SignalPropagation
from archscope.resolve import parse_batch, parse_settings
from archscope.resolve.buildable import require_buildable, require_plain
from archscope.resolve.huggingface import is_configuration
from archscope.resolve.inputs import input_text, parse_input
from archscope.saved.record import Saved, saved

if TYPE_CHECKING:
    from os import PathLike

    from torch import Tensor

    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Source, Subject

    Model = Source | PathLike[str] | Saved | Analysis | Profile
    """What a user may name: a network, or a saved record or its path."""

    Input = str | InputSpec | Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
    """What a user may pass as input: a specification, or tensors nested as `forward` takes them."""


@dataclass(frozen=True)
class Target:
    """A network and what it is called with; it is built again each time it is asked for.

    Args:
        model: its name, the network itself, or what makes it.
        keywords: of its constructor.
        input: a specification or tensors; the network's default when `None`.
        batch: size of the batch dimension; that of the specification when `None`.
        found: the network, where it was built already.
    """

    model: Source
    keywords: Mapping[str, Any] = field(default_factory=dict)
    input: InputSpec | Tensors | None = None
    batch: Dim | None = None
    found: Subject | None = None

    @property
    def name(self) -> str:
        """What a message calls it."""
        if isinstance(self.model, str):
            return self.model
        return str(getattr(self.model, "__name__", type(self.model).__name__))

    @property
    def input_text(self) -> str | None:
        """The specification as `--input` takes it; `None` for the default, or tensors."""
        return input_text(self.input) if isinstance(self.input, InputSpec) else None

    @property
    def question(self) -> dict[str, object]:
        """What decides an answer besides the network; plain values, but for tensors."""
        spec = repr(self.input) if isinstance(self.input, InputSpec) else self.input
        return {"input": spec, "batch": self.batch, "keywords": dict(self.keywords)}

    def having(self, **keywords: Any) -> Target:
        """The same network with other constructor keywords."""
        return replace(self, keywords={**self.keywords, **keywords}, found=None)

    def subject(self) -> Subject:
        """Build the network.

        Raises:
            ArchscopeError: nothing of that name, or it cannot be built.
        """
        from archscope.ask.network.subject import find

        return self.found or find(self.model, self.keywords)

    def called(self) -> tuple[Subject, NetworkCall]:
        """Build the network, and the arguments of its call.

        Raises:
            ArchscopeError: as `subject`, it has no default input and none is given, or it has
                lazy modules and fails on this input.
        """
        from archscope.ask.network.call import network_call
        from archscope.ask.network.lazy import materialised

        subject = self.subject()
        call = network_call(subject, self.input, self.batch)
        return materialised(subject, call), call


def target(
    model: Model,
    *,
    input: Input | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Target | Saved:
    """Decide what the user named: a network, or a record that is taken as it is.

    Args:
        model: a name (`resnet50`, `timm:convnext_tiny`, `nets.py:Net`), a saved record or its path
            (`run.json`), an `nn.Module`, or a class or function that makes one.
        input: a specification (`3x224x224`), a tensor, a tuple of positional arguments or a
            dictionary of keyword arguments; the network's default when `None`.
        batch: size of the batch dimension of a specification; of a record of several batches the
            one that is chosen.
        keywords: passed to the constructor.

    Raises:
        ArchscopeError: it is none of these, the input is malformed, or a record is to be changed.
    """
    given = read_input(input, batch)
    record = saved(model)
    if record is None:
        return network_target(model, input=given, batch=batch, keywords=keywords)
    one = record.of_batch(batch) if isinstance(record.record, BatchSweep) else record
    counted = one.record if isinstance(one.record, (Analysis, Profile)) else None
    own = None if counted is None else counted.input.batch
    changed = batch is not None and own is not None and batch != own
    if given is not None or keywords or changed:
        raise counted_already(record)
    return one


def side_by_side(
    models: Sequence[Model],
    *,
    input: Input | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> list[Target | Saved]:
    """Decide what each name of a comparison is; records keep their own input and keywords.

    Args:
        models: as for `target`.
        input: for every network that is counted now.
        batch: for every network that is counted now; of a record of several the one chosen.
        keywords: for every network that is counted now.

    Raises:
        ArchscopeError: as `target`.
    """
    given = read_input(input, batch)
    records = [saved(model) for model in models]
    return [
        network_target(model, input=given, batch=batch, keywords=keywords)
        if record is None
        else record.of_batch(batch)
        for model, record in zip(models, records, strict=True)
    ]


def counted_already(record: Saved) -> ArchscopeError:
    """What to say where a record is to be changed."""
    return ArchscopeError(
        record.name,
        "a saved record cannot be counted again",
        "name the network itself to change it",
    )


def network_target(
    model: Model,
    *,
    input: Input | Tensors | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
    beside: Source | None = None,
) -> Target:
    """The network that the user named, for questions that a record's numbers cannot answer.

    A record stands for the network that it was made of, with its keywords and input.
    It is built by its name only where that is one of a library: a file chooses no code to run.

    Args:
        model: as for `target`.
        input: as for `target`; otherwise the record's.
        batch: as for `target`; otherwise the record's, unless it holds several.
        keywords: passed to the constructor; they win over those of the record.
        beside: the network of the record, where the user names it.

    Raises:
        ArchscopeError: it is no network, the input is malformed, or a record is of several
            networks, or of one whose name is no library's and that is not named beside it.
    """
    given = input if isinstance(input, Tensors) else read_input(input, batch)
    size = None if batch is None else parse_batch(batch)
    chosen = dict(keywords or {})
    record = saved(model)
    if record is not None:
        return _recorded(record, given, size, chosen, beside)
    if beside is not None:
        name = str(getattr(beside, "__name__", beside))
        raise ArchscopeError(
            parameter("model", f"{name:.60}"), "goes with a saved record", "leave it out"
        )
    if isinstance(model, str) or callable(model) or is_configuration(model):
        return Target(model, chosen, given, size)
    raise _not_a_network(model)


def _not_a_network(model: object) -> ArchscopeError:
    if isinstance(model, (list, tuple)):
        return ArchscopeError(
            repr(model)[:60], "is not a network", "give several one after the other, not as a list"
        )
    if hasattr(model, "shape"):
        given = f"a tensor of {'×'.join(map(str, model.shape)) or 'no sides'}"
        return ArchscopeError(
            given, "is not a network", f"give what a network is called with as {parameter('input')}"
        )
    return ArchscopeError(
        repr(model)[:60], "is not a network", "give a name, an nn.Module, or a class that makes one"
    )


def network_targets(
    models: Sequence[Model],
    *,
    input: Input | None = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
    beside: Source | None = None,
) -> list[Target]:
    """Several networks; `beside` is that of every record among them.

    Raises:
        ArchscopeError: as `network_target`.
    """
    known = [saved(model) or model for model in models]
    recorded = any(isinstance(model, Saved) for model in known)
    return [
        network_target(
            model,
            input=input,
            batch=batch,
            keywords=keywords,
            beside=beside if isinstance(model, Saved) or not recorded else None,
        )
        for model in known
    ]


def _recorded(
    source: Saved,
    input: InputSpec | Tensors | None,
    batch: Dim | None,
    keywords: Mapping[str, Any],
    beside: Source | None,
) -> Target:
    from archscope.ask.network.subject import find

    record = source.record
    if isinstance(record, SignalPropagation):
        raise ArchscopeError(source.name, "is not of one network", "name the network itself")
    several = isinstance(record, BatchSweep)
    if isinstance(record, BatchSweep):
        record = record.profiles[0]
    own = _own_keywords(source.name, record.model, record.keywords, beside)
    model = record.model if beside is None else beside
    try:
        found = find(model, own)
    except ArchscopeError as error:
        problem = f"is of {record.model}, which cannot be built from its name ({error})"
        raise ArchscopeError(source.name, problem, "name the network itself") from error
    if input is None and record.input != found.default_input:
        batch = record.input.batch if batch is None and not several else batch
        input = parse_input(input_text(record.input), 1 if batch is None else batch)
    subject = None if keywords else found
    return Target(model, {**own, **keywords}, input, batch, subject)


def _own_keywords(
    file: str, model: str, written: Sequence[tuple[str, str]], beside: Source | None
) -> dict[str, Any]:
    """The constructor keywords of a record, which go with its network however that is named.

    Raises:
        ArchscopeError: the network is none that a file may have built, nor are its keywords.
    """
    own = parse_settings([f"{key}={value}" for key, value in written])
    if beside is None:
        require_buildable(file, model, own)
    require_plain(file, own)
    finished = beside is not None and not isinstance(beside, str) and not isinstance(beside, type)
    return {} if finished and not isroutine(beside) else own
