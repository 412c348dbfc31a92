"""Sentences about measured times, in which a difference within the intervals is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archscope.records import Measurement, Profile
from archscope.study.compare.kinds import KindTime, kind_times
from archscope.study.compare.tables import NONE, time_ratio
from archscope.study.stages import stage_seconds
from archscope.units import percent, ratio, seconds
from reports.data import device_of

Phases = Mapping[str, tuple[Measurement | None, Measurement | None]]
"""Of each phase, in words (`forward time`), the later network's time and the first one's."""


def batches(profiles: Sequence[Profile]) -> tuple[str, ...]:
    """A sentence of how many images times and counts are of, where times are shown."""
    sizes = ", ".join(dict.fromkeys(str(profile.input.batch) for profile in profiles))
    return (f"Counts are of one image, times of a batch of {sizes}.",) if sizes else ()


def comparison(subject: str, verb: str, other: str, phases: Phases) -> str:
    """`B takes 1.05× A's forward time; between the two no difference shows in the … (…)`.

    Args:
        subject: the later network.
        verb: `takes` or `take`.
        other: the first network.
        phases: what was measured.
    """
    ratios = {what: time_ratio(own, base) for what, (own, base) in phases.items()}
    taken = [
        f"{ratio(q, 2)} {other}'s {what}" for what, q in ratios.items() if isinstance(q, float)
    ]
    same = [what for what, quotient in ratios.items() if quotient == NONE]
    unknown = [what for what, pair in phases.items() if all(pair) and ratios[what] is None]
    both = "the two" if taken else f"{subject} and {other}"
    parts = [f"{subject} {verb} {' and '.join(taken)}"] if taken else []
    if same:
        where = f"in the {' and the '.join(same)} (the 95 % intervals overlap)"
        parts.append(f"between {both} no difference shows {where}")
    if unknown:
        where = f"in the {' and the '.join(unknown)} is unknown (too few runs for an interval)"
        parts.append(f"whether {both} differ {where}")
    return "; ".join(parts)


def gap(subject: str, first: Profile, second: Profile, kinds: tuple[str, ...]) -> Iterator[str]:
    """In which kernels and stages two measured networks differ.

    Args:
        subject: name of the second one, which the sentences are about.
        first: with layers and a count.
        second: likewise.
        kinds: of layers to tell of, as `kind_of` names them.
    """
    sentences = list(by_kind(subject, first, second, kinds))
    yield from sentences
    if sentences:
        yield from _stage(first, second)


def by_kind(subject: str, first: Profile, second: Profile, kinds: tuple[str, ...]) -> Iterator[str]:
    """What some kinds of layers take in two measured networks; arguments as of `gap`."""
    one, two = kind_times(first), kind_times(second)
    common = [kind for kind in kinds if kind in one and kind in two]
    for kind in common:
        before, after = one[kind], two[kind]
        whose = f"Forward and backward, {subject}'s" if kind == common[0] else "Its"
        yield (
            f"{whose} {kind}s take "
            f"{seconds(after.seconds)} instead of {seconds(before.seconds)}{_why(before, after)}."
        )


def _why(before: KindTime, after: KindTime) -> str:
    reasons = []
    one, two = before.operations_per_byte, after.operations_per_byte
    if one is not None and two is not None:
        reasons.append(f"{two:.1f} operations a byte instead of {one:.1f}")
    if before.roof_share is not None and after.roof_share is not None:
        shares = percent(after.roof_share, 0), percent(before.roof_share, 0)
        reasons.append(f"{shares[0]} of the roof instead of {shares[1]}")
    return f", at {' and '.join(reasons)}" if reasons else ""


def _stage(first: Profile, second: Profile) -> Iterator[str]:
    before, after = (_by_stride(profile) for profile in (first, second))
    labels = dict.fromkeys((*before, *after))
    differences = {label: after.get(label, 0.0) - before.get(label, 0.0) for label in labels}
    whole = sum(differences.values())
    if whole == 0:
        return
    label = max(differences, key=lambda label: differences[label] / whole)
    yield (
        f"Of the {seconds(abs(whole))} that all its layers take "
        f"{'more' if whole > 0 else 'less'}, the largest part, "
        f"{seconds(abs(differences[label]))}, is at output stride {label}."
    )


def _by_stride(profile: Profile) -> dict[str, float]:
    """Forward and backward seconds by output stride."""
    by_phase = stage_seconds(profile)
    sums: dict[str, float] = {}
    for phase in ("forward", "backward"):
        for label, taken in by_phase.get(phase, {}).items():
            sums[label] = sums.get(label, 0.0) + taken
    return sums


def measured_on(profile: Profile) -> str:
    """`Measured on CPU (AMD EPYC, 2 threads) at batch 4`."""
    return f"Measured on {device_of(profile)} at batch {profile.input.batch}"
