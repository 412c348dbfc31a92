"""Measured networks of one run: in turns here, or one by one on an engine, and in a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archscope.ask.profile import measured, points, there
from archscope.ask.profile.measuring import Measuring
from archscope.ask.profile.turns import MOST_TOGETHER, expected, measured_in_turns
from archscope.errors import ArchscopeError
from archscope.records import Profile
from archscope.saved.long_run import LongRun
from archscope.saved.record import Saved
from archscope.units import duration

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender
    from archscope.ask.match import Solved
    from archscope.ask.target import Target
    from archscope.engines.shard import Shard
    from archscope.measure.side_by_side import SideBySide
    from archscope.records.measured import PairedRatio
    from archscope.saved.journal import Journal


@dataclass(frozen=True)
class Timed:
    """Networks of a comparison, each as the record of its measurement.

    Args:
        targets: in the order in which the user named them, without those of other shards.
        together: what was measured in turns, with its rounds.
    """

    targets: Sequence[Target | Saved]
    together: SideBySide | None

    def with_rounds(self, found: Contender) -> Contender:
        """A network that was measured in turns with its rounds."""
        if self.together is not None:
            for place, profile in enumerate(self.together.profiles):
                if found.profile is profile:
                    rounds = {phase: each[place] for phase, each in self.together.rounds.items()}
                    return replace(found, rounds=rounds)
        return found


def timed(
    targets: Sequence[Target | Saved], how: Measuring, shard: Shard, journal: Journal | None,
    *, alone: bool,
) -> Timed:  # fmt: skip
    """Measure the networks of a comparison; a saved record stays what it is.

    Args:
        targets: networks and saved records.
        how: each is measured.
        shard: which of the networks.
        journal: holds each as soon as it is measured.
        alone: whether each is measured by itself, as a run that is resumed must.

    Raises:
        ArchscopeError: a network fails, or nothing can run there.
        KeyboardInterrupt: one was interrupted; those before it are in the journal.
    """
    networks = named(targets)
    if alone:
        own = list(shard.of(networks))
        profiles, together = one_by_one(own, how, journal), None
    else:
        own = networks
        profiles, together = in_turns(own, how, journal)
    found = {id(target): Saved(target.name, p) for target, p in zip(own, profiles, strict=True)}
    usable = [t for t in targets if isinstance(t, Saved) or id(t) in found]
    return Timed([found.get(id(target), target) for target in usable], together)


def named(targets: Sequence[Target | Saved]) -> list[Target]:
    """The networks, without saved records."""
    return [target for target in targets if not isinstance(target, Saved)]


def shown(
    layout: str, weights: str, predicted: str | None, solved: Solved | None
) -> dict[str, Any]:
    """How the answer of a comparison is shown, for the first line of its journal.

    Args:
        layout: as for `compare`.
        weights: as for `compare`.
        predicted: GPUs for which times are predicted.
        solved: what makes the networks equal, where that was asked.
    """
    match = {} if solved is None else {"match": solved.identity}
    return {"layout": layout, "weights": weights, "predicted": predicted, **match}


def long_run(
    kind: str,
    targets: Sequence[Target],
    how: Measuring,
    shard: Shard,
    rest: Mapping[str, Any],
) -> LongRun:
    """Measurements of networks as a run that a journal holds.

    Args:
        kind: `compare` or `fit`, what `archscope merge` makes of them.
        targets: the networks of all shards.
        how: each is measured.
        shard: which of them.
        rest: what else decides the answer.
    """
    asked = [points.question(target, how.plan, how.gpu) for target in targets]
    identity = {kind: json.loads(json.dumps({"questions": asked, **rest}))}
    definition = json.dumps(identity, sort_keys=True).encode()
    name = f"{kind}-{hashlib.sha256(definition).hexdigest()[:12]}.jsonl"
    own = len(shard.of(asked))
    return LongRun(
        name, {**identity, **shard.identity}, points.key(targets), points.read, own, "networks"
    )


def in_turns(
    targets: Sequence[Target], how: Measuring, journal: Journal | None
) -> tuple[list[Profile], SideBySide | None]:
    """Measure networks on one device, their samples in turns where they fit together.

    Returns:
        the profiles, and those of them whose samples alternated, with their rounds.

    Raises:
        ArchscopeError: a network fails, or nothing can run here.
        KeyboardInterrupt: one was interrupted.
    """
    together: list[SideBySide] = []

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        if not how.here:
            with how.engine([target.name for target in some]) as place:
                together.append(there.in_turns(place, some, how.plan))
            yield from zip(chosen, together[0].profiles, strict=True)
        elif 1 < len(some) <= MOST_TOGETHER:
            together.append(_together(some, how))
            yield from zip(chosen, together[0].profiles, strict=True)
        else:
            yield from zip(chosen, _here(some, how), strict=False)

    profiles = _measured(targets, how, journal, measure)
    return profiles, next(iter(together), None)


def one_by_one(targets: Sequence[Target], how: Measuring, journal: Journal | None) -> list[Profile]:
    """Measure networks to be compared, one after another on one device; each is saved at once.

    Raises:
        ArchscopeError: a network fails, or nothing can run there.
        KeyboardInterrupt: one was interrupted; those before it are in the journal.
    """

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        if how.here:
            yield from zip(chosen, _here(some, how), strict=False)
            return
        with how.engine([target.name for target in some]) as place:
            found = there.in_turns(place, some, how.plan)
        yield from zip(chosen, found.profiles, strict=True)

    return _measured(targets, how, journal, measure)


def apart(
    targets: Sequence[Target],
    how: Measuring,
    journal: Journal | None,
    refusal: Callable[[Profile], ArchscopeError | None],
    left_out: Callable[[ArchscopeError], None],
) -> list[Profile]:
    """Measure networks that are not compared, each as a task of its own.

    One that fails is left out, and a run that is resumed tries it again.

    Args:
        targets: the networks.
        how: each is measured.
        journal: holds each as soon as it is measured, or why it was not.
        refusal: why a measurement is of no use; `None` for one that is.
        left_out: is given why a network has no measurement.

    Raises:
        ArchscopeError: nothing can run there, or every network fails.
        KeyboardInterrupt: one was interrupted; those before it are in the journal.
    """
    failures: list[ArchscopeError] = []

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        for index, found in _each(some, how):
            failure = found if isinstance(found, ArchscopeError) else refusal(found)
            if failure is not None:
                failures.append(failure)
                left_out(failure)
                if journal is not None:
                    asked = points.question(some[index], how.plan, how.gpu)
                    journal.note(points.failed(asked, some[index].name, failure))
            elif isinstance(found, Profile):
                yield chosen[index], found

    found = _measured(targets, how, journal, measure)
    if failures and not found:
        raise failures[0]
    return found


def _each(
    targets: Sequence[Target], how: Measuring
) -> Iterator[tuple[int, Profile | ArchscopeError]]:
    """Measure each by itself; its place, and its Profile or why it has none."""
    if how.here:
        yield from ((index, _alone(target, how)) for index, target in enumerate(targets))
        return
    names = [target.name for target in targets]
    with how.engine(names, "each by itself on") as place:
        for index, one in there.each(place, targets, how.plan):
            if not isinstance(one, ArchscopeError):
                how.feedback.say(f"{targets[index].name} is measured, {place.place}")
            yield index, one


def _alone(target: Target, how: Measuring) -> Profile | ArchscopeError:
    try:
        return next(_here([target], how))
    except ArchscopeError as error:
        return error


def _here(targets: Sequence[Target], how: Measuring) -> Iterator[Profile]:
    for target in targets:
        how.feedback.say(f"measuring {target.name}")
        yield measured.profile(target, how.plan)


def _together(targets: Sequence[Target], how: Measuring) -> SideBySide:
    """Measure in turns; say how long that lasts at most, and show the ratio so far."""
    names = [target.name for target in targets]
    needs = expected(len(targets), how.plan)
    load = "" if needs.load is None else f"; load {needs.load:.1f} on {needs.cores} cores"
    how.feedback.say(
        f"measuring {', '.join(names)} in turns on {how.plan.settings.device}, "
        f"at most about {duration(needs.seconds)} once they are built{load}"
    )
    with how.feedback.bars() as bars:

        def show(label: str, share: float, ratio: PairedRatio | None) -> None:
            so_far = ""
            if ratio is not None:
                so_far = f": {names[1]} ÷ {names[0]} {ratio.value:.3f} ± {ratio.half_width:.3f}"
            bars(label + so_far, share)

        return measured_in_turns(targets, how.plan, show)


def _measured(
    targets: Sequence[Target], how: Measuring, journal: Journal | None, measure: Any
) -> list[Profile]:
    asked = [points.question(target, how.plan, how.gpu) for target in targets]
    found = points.measured(asked, [target.name for target in targets], measure, journal)
    points.require_finished(found)
    return found
