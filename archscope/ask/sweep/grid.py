"""One network over values of its constructor keywords, input or batch, crossed."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope import archive, interruption
from archscope.ask.network.allowance import with_allowance
from archscope.ask.travel import Luggage, decided_by, luggage
from archscope.engines.engine import Engine, Lost
from archscope.engines.local import HERE
from archscope.engines.shard import ALL, Shard
from archscope.errors import ArchscopeError
from archscope.records import Analysis, Dim, PredictedTime, Totals
from archscope.saved.answers import is_certain
from archscope.saved.journal import Journal
from archscope.saved.journal_lines import address
from archscope.saved.long_run import LongRun

if TYPE_CHECKING:
    from archscope.ask.target import Target
    from archscope.saved.journal import Key

INPUT, BATCH = "input", "batch"
INPUTS = "write it like input=3x160x160,3x224x224; parentheses hold one input of several tensors"
"""Keys of a sweep that are no constructor keywords."""

Point = tuple[tuple[str, Any], ...]
"""One value for each swept key."""


MOST_POINTS = 10**6
"""Above every sweep; a journal's first line can name axes of any length."""


@dataclass(frozen=True)
class Grid:
    """Which networks a sweep counts.

    Args:
        model: a name.
        axes: each swept key and its values; the last varies fastest.
        keywords: constructor keywords that stay the same.
        input, batch: as for `analyse`, where they are not swept.
        backward: also count the backward pass.
        predict: GPUs for which the time of a step is predicted, as `read_places` takes them.
    """

    model: str
    axes: tuple[tuple[str, tuple[Any, ...]], ...]
    keywords: tuple[tuple[str, Any], ...] = ()
    input: str | None = None
    batch: Dim | None = None
    backward: bool = False
    predict: str | None = None

    @property
    def points(self) -> list[Point]:
        keys = [key for key, _ in self.axes]
        values = itertools.product(*(values for _, values in self.axes))
        return [tuple(zip(keys, combination, strict=True)) for combination in values]

    @property
    def identity(self) -> dict[str, Any]:
        """What is counted, for the first line of a journal."""
        return {"grid": json.loads(json.dumps(asdict(self), default=repr))}

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> Grid:
        """Read it back.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is of something else.
        """
        grid = cls(**{key: _without_lists(value) for key, value in identity["grid"].items()})
        texts = (grid.model, grid.input or "", grid.predict or "", *dict(grid.axes))
        if not all(isinstance(text, str) for text in (*texts, *dict(grid.keywords))):
            raise TypeError("a name is not text")
        if math.prod(len(values) for _, values in grid.axes) > MOST_POINTS:
            raise ValueError("it has more points than a sweep may have")
        return grid

    def question(self, outcome: Outcome) -> dict[str, Any]:
        """All that was asked at one point; a user's file without its folder."""
        place, colon, name = self.model.rpartition(":")
        keywords = {key: repr(value) for key, value in self.keywords}
        return {
            "network": f"{Path(place).name}{colon}{name}",
            "keywords": {**keywords, **dict(outcome.point)},
            "input": self.input,
            "batch": self.batch,
            "settings": {"backward": self.backward, "predict": self.predict},
        }

    def key(self) -> Key:
        """Says what decides the numbers besides at any moment; `None` where that is unknown."""
        from archscope.saved import answers

        return answers.Deciding((self.model, {**dict(self.keywords), **dict(self.axes)}))

    def file_name(self) -> str:
        """A name for the journal of this sweep, readable and its own."""
        definition = json.dumps(asdict(self), sort_keys=True).encode()
        plain = "".join(c if c.isalnum() else "-" for c in Path(self.model).name)
        return f"{plain}-{hashlib.sha256(definition).hexdigest()[:12]}.jsonl"


def _without_lists(value: Any) -> Any:
    return tuple(map(_without_lists, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Outcome:
    """What became of one point.

    Args:
        point: each swept key with its value as text.
        total: the network's totals; `None` for a point that could not be counted.
        problem: why it could not.
        complete: False where the totals are lower bounds.
        notes: sentences that a reader of its numbers must know.
        finished: whether counting it again would tell the same.
        certain: whether nothing that differs from run to run was read on the way.
        predicted: times of a step on GPUs that need not be here.
    """

    point: tuple[tuple[str, str], ...]
    total: Totals | None
    problem: str = ""
    complete: bool = True
    notes: tuple[str, ...] = ()
    finished: bool = True
    predicted: tuple[PredictedTime, ...] = ()
    certain: bool = field(default=True, compare=False)

    @classmethod
    def of(
        cls,
        point: tuple[tuple[str, str], ...],
        analysis: Analysis,
        predicted: tuple[PredictedTime, ...] = (),
    ) -> Outcome:
        complete = analysis.coverage.complete
        return cls(
            point, analysis.total, complete=complete, notes=analysis.notes, predicted=predicted
        )

    def entry(self) -> dict[str, Any]:
        """As a line of a journal."""
        return {
            "point": dict(self.point),
            "total": None if self.total is None else asdict(self.total),
            "problem": self.problem,
            "complete": self.complete,
            "notes": list(self.notes),
            "predicted": [list(time) for time in self.predicted],
        }

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Outcome:
        """Read a line of a journal.

        Raises:
            ValueError: it is damaged.
        """
        try:
            total = None if entry["total"] is None else archive.decoded(Totals, entry["total"])
            point = tuple(entry["point"].items())
            plain = archive.decoded(
                _Line, {key: entry[key] for key in ("problem", "complete", "notes")}
            )
            predicted = tuple(PredictedTime(*time) for time in entry["predicted"])
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"no field {error}") from None
        if not all(isinstance(text, str) for text in itertools.chain(*point)):
            raise ValueError("a point is not text")
        return cls(point, total, plain.problem, plain.complete, plain.notes, predicted=predicted)


@dataclass(frozen=True)
class _Line:
    """The plain fields of an Outcome in a journal."""

    problem: str
    complete: bool
    notes: tuple[str, ...]


def parse_axes(texts: Sequence[str]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Read `key=v1,v2,…` arguments; brackets hold a value with commas: `blocks=(2,2),(3,4)`.

    Values repeated within one key count once, in the order given.

    Raises:
        ArchscopeError: no `key=values`, a key given twice, or a value that cannot be read.
    """
    axes: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not (equals and values and key.isidentifier()):
            raise ArchscopeError(
                text, "is not of the form key=v1,v2,…", "write it like growth_rate=12,24"
            )
        if key in axes:
            raise ArchscopeError(text, f"gives {key} a second time", "list all its values at once")
        axes[key] = tuple(dict.fromkeys(_value(key, value, text) for value in _split(values, text)))
    return tuple(axes.items())


def _split(text: str, argument: str) -> list[str]:
    """Split at the commas outside brackets."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise ArchscopeError(argument, "has an open bracket", "close it")
    if not all(part.strip() for part in parts):
        raise ArchscopeError(argument, "has an empty value", "write it like growth_rate=12,24")
    return [part.strip() for part in parts]


def _value(key: str, text: str, argument: str) -> Any:
    from archscope.resolve import parse_settings

    if key == INPUT:
        return _input(text.strip("()"), argument)
    if key == BATCH:
        if not text.isdecimal() or int(text) < 1:
            raise ArchscopeError(argument, f"{text!r} is not a batch size", "give whole numbers")
        return int(text)
    try:
        return parse_settings([f"{key}={text}"])[key]
    except ArchscopeError as error:
        raise ArchscopeError(argument, error.problem, error.remedy) from None


def _input(text: str, argument: str) -> str:
    from archscope.resolve import parse_input

    try:
        parse_input(text)
    except ArchscopeError as error:
        raise ArchscopeError(argument, error.problem, INPUTS) from None
    return text


def target_at(grid: Grid, point: Point) -> Target:
    """The network of one point with its call.

    Raises:
        ArchscopeError: there is none.
    """
    from archscope.ask.target import network_target

    keywords = {**dict(grid.keywords), **dict(point)}
    input = keywords.pop(INPUT, grid.input)
    batch = keywords.pop(BATCH, grid.batch)
    return network_target(grid.model, input=input, batch=batch, keywords=keywords)


def count_point(grid: Grid, point: Point) -> Outcome:
    """Count one point; a failure of the network is reported in its row, not raised."""
    from archscope.ask.count import analyse

    named = as_text(point)
    try:
        target = target_at(grid, point)
        analysis = analyse(target, backward=grid.backward)
        predicted = _predicted(target, grid.predict)
    except ArchscopeError as error:
        from archscope.measure.memory import is_out_of_memory

        without_memory = error.__cause__ is not None and is_out_of_memory(error.__cause__)
        return Outcome(named, None, str(error), finished=not without_memory)
    return Outcome.of(named, analysis, predicted)


def _predicted(target: Target, predict: str | None) -> tuple[PredictedTime, ...]:
    if predict is None:
        return ()
    from archscope.ask.predict import predicted_at
    from archscope.latency.place import read_places

    return tuple(found.time for found in predicted_at(target, read_places(predict)))


def as_text(point: Point) -> tuple[tuple[str, str], ...]:
    """Each swept key with its value as a table shows it."""
    from archscope.resolve.inputs import setting_text

    return tuple((key, setting_text(value)) for key, value in point)


def count_there(grid: Grid, luggage: Luggage, point: Point) -> Outcome:
    """Count one point where a user's file may have another path; the outcome says its own."""
    name = luggage.name_here()
    outcome = count_point(replace(grid, model=name), point)
    return replace(outcome, problem=luggage.worded(outcome.problem), certain=is_certain(name))


def long_run(grid: Grid, shard: Shard) -> LongRun:
    """A part of a sweep as a run that a journal holds."""
    return LongRun(
        grid.file_name(),
        {**grid.identity, **shard.identity},
        grid.key(),
        Outcome.from_entry,
        len(shard.of(grid.points)),
        "points",
    )


def run(
    grid: Grid,
    *,
    engine: Engine = HERE,
    shard: Shard = ALL,
    journal: Journal | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome]:
    """Count every point of a sweep that the journal does not hold yet.

    Args:
        grid: what to count.
        engine: where the points are counted.
        shard: which of the points.
        journal: gets each outcome as it is known, as a record that says what it is of.
        progress: called with the number of points done and their total, first with those that
            the journal holds.

    Returns:
        One outcome a point of the shard, in the order of the grid.

    Raises:
        EngineError: the engine cannot run them, or not to the end.
    """
    points = shard.of(grid.points)
    known = [] if journal is None else [Outcome.from_entry(e) for e in journal.entries]
    outcomes = {tuple(sorted(outcome.point)): outcome for outcome in known}
    keys = [tuple(sorted(as_text(point))) for point in points]
    waiting = [index for index, key in enumerate(keys) if key not in outcomes]
    progress(len(points) - len(waiting), len(points))
    sent = luggage(grid.model)
    versions = decided_by(sent)
    function = with_allowance(partial(count_there, grid, sent))
    for place, outcome in engine.completed(function, [points[index] for index in waiting]):
        interruption.check()  # a library may have taken Ctrl-C for a failure of this point
        index = waiting[place]
        if isinstance(outcome, Lost):
            outcome = Outcome(as_text(points[index]), None, str(outcome), finished=False)
        if journal is not None:
            entry = {**outcome.entry(), **address(grid.question(outcome), versions)}
            (journal.add if outcome.finished else journal.note)(entry, certain=outcome.certain)
        outcomes[keys[index]] = outcome
        progress(len(outcomes), len(points))
    # A journal's line does not keep the order in which the keys were given.
    return [
        replace(outcomes[key], point=as_text(point))
        for key, point in zip(keys, points, strict=True)
    ]
