"""Measured points of a command: on an engine, in a journal, and what a shard of them is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archscope.cli.resuming import LongRun
from archscope.cli.stderr import say
from archscope.cli.timing import gpu_engine, leave_if_interrupted, progress_bars
from archscope.engines.local import NAME as LOCAL
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.ask.target import Target
    from archscope.engines.shard import Shard
    from archscope.measure.session import Plan
    from archscope.measure.side_by_side import SideBySide
    from archscope.records import Profile
    from archscope.records.measured import PairedRatio
    from archscope.saved.journal import Journal


def long_run(
    kind: str,
    targets: Sequence[Target],
    plan: Plan,
    gpu: str,
    shard: Shard,
    rest: Mapping[str, Any],
) -> LongRun:
    """Measurements of networks as a run that a journal holds.

    Args:
        kind: `compare` or `fit`, what `archscope merge` makes of them.
        targets: the networks of all shards.
        plan: how each is measured.
        gpu: the model that was asked for.
        shard: which of them.
        rest: what else decides the answer.
    """
    from archscope.ask.profile.points import key, question, read

    asked = [question(target, plan, gpu) for target in targets]
    identity = {kind: json.loads(json.dumps({"questions": asked, **rest}))}
    definition = json.dumps(identity, sort_keys=True).encode()
    name = f"{kind}-{hashlib.sha256(definition).hexdigest()[:12]}.jsonl"
    names = [target.name for target in targets]
    own = len(shard.of(asked))
    return LongRun(name, {**identity, **shard.identity}, key(names), read, own, "networks")


def in_turns(
    targets: Sequence[Target], plan: Plan, journal: Journal | None
) -> tuple[list[Profile], SideBySide | None]:
    """Measure networks on the device that is here, their samples in turns where they fit together.

    Returns:
        the profiles, and those of them whose samples alternated, with their rounds.

    Raises:
        ArchscopeError: a network fails, or nothing can run here.
        KeyboardInterrupt: one was interrupted.
    """
    from archscope.ask.profile.turns import MOST_TOGETHER

    together: list[SideBySide] = []

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        if 1 < len(some) <= MOST_TOGETHER:
            together.append(_together(some, plan))
            yield from zip(chosen, together[0].profiles, strict=True)
        else:
            yield from zip(chosen, _here(some, plan), strict=False)

    profiles = _measured(targets, plan, "", journal, measure)
    return profiles, next(iter(together), None)


def one_by_one(
    targets: Sequence[Target], plan: Plan, on: str, gpu: str, journal: Journal | None
) -> list[Profile]:
    """Measure networks to be compared, one after another on one device; each is kept at once.

    Raises:
        ArchscopeError: a network fails, or nothing can run there.
        KeyboardInterrupt: one was interrupted; those before it are in the journal.
    """
    from archscope.ask.profile import there

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        if on == LOCAL:
            yield from zip(chosen, _here(some, plan), strict=False)
            return
        with gpu_engine([target.name for target in some], plan, on, gpu) as place:
            yield from zip(chosen, there.in_turns(place, some, plan), strict=True)

    return _measured(targets, plan, gpu, journal, measure)


def apart(
    targets: Sequence[Target], plan: Plan, on: str, gpu: str, journal: Journal | None
) -> list[Profile]:
    """Measure networks that are not compared, each as a task of its own.

    One that fails is named on stderr and left out.

    Raises:
        ArchscopeError: nothing can run there, or every network fails.
        KeyboardInterrupt: one was interrupted; those before it are in the journal.
    """
    from archscope.ask.profile import there

    failures: list[ArchscopeError] = []

    def measure(chosen: Sequence[int]) -> Iterator[tuple[int, Profile]]:
        some = [targets[index] for index in chosen]
        if on == LOCAL:
            yield from zip(chosen, _here(some, plan), strict=False)
            return
        names = [target.name for target in some]
        with gpu_engine(names, plan, on, gpu, "each by itself on") as place:
            for index, found in there.each(place, some, plan):
                if isinstance(found, ArchscopeError):
                    failures.append(found)
                    say(f"left out: {found}")
                else:
                    say(f"{some[index].name} is measured, {place.place}")
                    yield chosen[index], found

    found = _measured(targets, plan, gpu, journal, measure)
    if failures and not found:
        raise failures[0]
    return found


def _here(targets: Sequence[Target], plan: Plan) -> Iterator[Profile]:
    from archscope.ask.profile.measured import profile

    for target in targets:
        say(f"measuring {target.name}")
        yield profile(target, plan)


def _together(targets: Sequence[Target], plan: Plan) -> SideBySide:
    """Measure in turns; say how long that lasts at most, and show the ratio so far."""
    from archscope.ask.profile.turns import expected, measured_in_turns
    from archscope.units import duration

    names = [target.name for target in targets]
    needs = expected(len(targets), plan)
    load = "" if needs.load is None else f"; load {needs.load:.1f} on {needs.cores} cores"
    say(
        f"measuring {', '.join(names)} in turns on {plan.settings.device}, "
        f"at most about {duration(needs.seconds)} of measuring{load}"
    )
    with progress_bars() as bars:

        def show(label: str, share: float, ratio: PairedRatio | None) -> None:
            so_far = ""
            if ratio is not None:
                so_far = f": {names[1]} ÷ {names[0]} {ratio.value:.3f} ± {ratio.half_width:.3f}"
            bars(label + so_far, share)

        return measured_in_turns(targets, plan, show)


def _measured(
    targets: Sequence[Target], plan: Plan, gpu: str, journal: Journal | None, measure: Any
) -> list[Profile]:
    from archscope.ask.profile import points

    asked = [points.question(target, plan, gpu) for target in targets]
    found = points.measured(asked, [target.name for target in targets], measure, journal)
    leave_if_interrupted(found)
    return found
