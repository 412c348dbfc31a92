"""Several networks on one device, each phase measured in turns → their Profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from archscope.measure import device as devices
from archscope.measure.failure import failures
from archscope.measure.session import Plan, Session, TimedPhases, silent, within_time
from archscope.measure.step import Mode, Step, configured
from archscope.measure.turns import Rounds, Turns, TurnsInterrupted, measure_in_turns
from archscope.records import InputSpec, Profile
from archscope.records.measured import INTERRUPTED

Progress = Callable[[str, float, Rounds], None]
"""Called with what is measured, the share of its time limit that is spent, and the rounds."""


@dataclass(frozen=True)
class Measurable:
    """A network to measure.

    Args:
        name: to report.
        module: on any device, with weights.
        input: numbers in every dimension.
        keywords: constructor keywords to report.
    """

    name: str
    module: nn.Module
    input: InputSpec
    keywords: tuple[tuple[str, str], ...] = ()


@dataclass
class SideBySide:
    """What was measured of several networks.

    Args:
        profiles: one a network.
        rounds: by phase that was measured in turns, of each network.
    """

    profiles: tuple[Profile, ...]
    rounds: Mapping[str, Rounds] = field(default_factory=dict)


def run(networks: Sequence[Measurable], plan: Plan, progress: Progress) -> SideBySide:
    """Measure copies of networks in turns, then what is found of each alone.

    Ctrl-C keeps what is known by then, as `session.run` does.

    Args:
        networks: at least one.
        plan: what to measure; its bounds are for each network.
        progress: called with what is being measured.

    Raises:
        ArchscopeError: no such device, or a network fails; naming the phase.
        OutOfMemoryError: the steps do not fit together.
    """
    sessions = [Session(network.name, plan, silent) for network in networks]
    device = sessions[0].device
    rounds: dict[str, Rounds] = {}
    with configured(plan.settings, device):
        before = devices.state(device)
        try:
            for mode in plan.modes:
                _mode(mode, networks, sessions, rounds, progress)
        except KeyboardInterrupt:
            for session in sessions:
                session.notes.append(INTERRUPTED)
        profiles = tuple(
            session.profile(network.input, before, network.keywords)
            for session, network in zip(sessions, networks, strict=True)
        )
    return SideBySide(profiles, rounds)


def _mode(
    mode: Mode, networks: Sequence[Measurable], sessions: Sequence[Session],
    rounds: dict[str, Rounds], progress: Progress,
) -> None:  # fmt: skip
    """Time one mode of all networks; their copies are on the device together."""
    steps = []
    for network, session in zip(networks, sessions, strict=True):
        with failures(network.name, mode, network.input, session.device):
            steps.append(session.begin(mode, network.module, network.input))
    try:
        _timed(mode, networks, sessions, steps, rounds, progress)
    finally:
        for session in sessions:
            session.add_first_runs()
    for network, session, step in zip(networks, sessions, steps, strict=True):
        progress(f"the layers of {network.name}", 1.0, ())
        with failures(network.name, mode, network.input, session.device):
            session.finish(mode, step)


def _timed(
    mode: Mode, networks: Sequence[Measurable], sessions: Sequence[Session],
    steps: Sequence[Step], rounds: dict[str, Rounds], progress: Progress,
) -> None:  # fmt: skip
    names = " and ".join(network.name for network in networks)
    rule = replace(
        sessions[0].plan.rule,
        max_seconds=min(within_time(step, sessions[0].plan).max_seconds for step in steps),
    )
    clocks = [session.clocks(step) for session, step in zip(sessions, steps, strict=True)]
    for phases in zip(*clocks, strict=True):

        def show(share: float, found: Rounds, label: str = phases[0].label) -> None:
            progress(label, share, found)

        with failures(names, mode, networks[0].input, sessions[0].device):
            try:
                turns = measure_in_turns([phase.clock for phase in phases], rule, show)
            except TurnsInterrupted as interruption:
                _save(sessions, phases, interruption.turns, rounds)
                raise
        _save(sessions, phases, turns, rounds)


def _save(
    sessions: Sequence[Session], phases: Sequence[TimedPhases], turns: Turns,
    rounds: dict[str, Rounds],
) -> None:  # fmt: skip
    for session, phase, timing in zip(sessions, phases, turns.timings, strict=True):
        session.save(phase, timing)
    if phases[0].total is not None and turns.rounds[0]:
        rounds[phases[0].total] = turns.rounds
