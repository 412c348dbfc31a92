"""Networks measured in turns on the device that is here, so that their times may be compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archscope.ask.profile.measured import built, completed, subject_of
from archscope.ask.target import Target
from archscope.engines.local import usable_cores
from archscope.measure import side_by_side
from archscope.measure.session import Plan, silent
from archscope.measure.side_by_side import Measurable, SideBySide
from archscope.measure.turns import paired_ratio
from archscope.records import Profile
from archscope.records.measured import PairedRatio

Progress = Callable[[str, float, PairedRatio | None], None]
"""Called with what is measured, the share of its time that is spent, and the ratio so far: of the
second network to the first."""


@dataclass(frozen=True)
class Expected:
    """What measuring takes.

    Args:
        seconds: that it lasts at most, without building the networks.
        load: processes that were ready to run lately, on average; `None` where nobody says.
        cores: that may run them.
    """

    seconds: float
    load: float | None
    cores: int


def expected(networks: int, plan: Plan) -> Expected:
    """How long measuring in turns lasts at most, and how busy the machine is.

    Args:
        networks: how many.
        plan: what to measure.
    """
    clocks = {"cpu": 1, "mps": 2}.get(plan.settings.device, 3)  # CUDA's events besides
    timed = clocks * len(plan.modes) * plan.rule.max_seconds * WITH_WARM_UP
    layers = LAYERS_SHARE * plan.rule.max_seconds if plan.details else 0.0
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Expected(networks * (timed + layers), load, usable_cores())


MOST_TOGETHER = 4
"""Networks whose copies are on a device together; of more, one is measured after the other."""

WITH_WARM_UP = 1.5
"""Half of the time for a number at most is spent before it."""

LAYERS_SHARE = 1.0
"""Profiled steps, memory and roofs take about as long as a number."""


def measured_in_turns(targets: Sequence[Target], plan: Plan, progress: Progress) -> SideBySide:
    """Measure networks side by side; their samples alternate.

    Args:
        targets: networks with their calls.
        plan: what to measure, and how long to try for each network.
        progress: called with what is being measured.

    Raises:
        ArchscopeError: no such network or device, or one fails.
    """
    subjects = [subject_of(target) for target in targets]
    networks = [
        Measurable(subject.name, built(subject), spec, subject.keywords)
        for subject, spec in subjects
    ]

    def show(label: str, share: float, rounds: tuple[tuple[float, ...], ...]) -> None:
        known = len(rounds) > 1 and len(rounds[0]) > 1
        progress(label, share, paired_ratio(rounds[1], rounds[0]) if known else None)

    found = side_by_side.run(networks, plan, show)
    profiles: list[Profile] = []
    for target, (_, spec), one in zip(targets, subjects, found.profiles, strict=True):
        interrupted = one.interrupted
        profiles.append(one if interrupted else completed(target, spec, plan, one, silent))
    return SideBySide(tuple(profiles), found.rounds)
