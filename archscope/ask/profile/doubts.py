"""What a profile's own report says against its times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archscope.measure.sampling import CAUSES
from archscope.records import Measurement, Profile
from archscope.records.measured import INTERRUPTED


def doubts(profile: Profile, phases: Iterable[str]) -> tuple[str, ...]:
    """What a profile's own report says against these times, to be said wherever they stand."""
    present = {phase: profile.phases[phase] for phase in phases if phase in profile.phases}
    cut = (INTERRUPTED,) if profile.interrupted else ()
    return (*cut, *merged_warnings(present))


def merged_warnings(phases: Mapping[str, Measurement]) -> list[str]:
    """One sentence for each kind of warning, with the phases that it is about."""
    present: dict[str, dict[str, list[str]]] = {}
    for phase, measurement in phases.items():
        for warning in measurement.warnings:
            kind, _, detail = warning.partition(": ")
            present.setdefault(kind, {}).setdefault(detail, []).append(phase)
    lines = []
    for kind, details in present.items():
        cause = f" ({CAUSES[kind]})" if kind in CAUSES else ""
        parts = [f"{', '.join(names)} {detail}".strip() for detail, names in details.items()]
        lines.append(f"{kind.capitalize()}{cause}: {'; '.join(parts)}.")
    return lines
