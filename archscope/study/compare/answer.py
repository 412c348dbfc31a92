"""The sentence that answers a comparison: how many times as much, or which is least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot

from archscope.ask.contenders import Contender
from archscope.records import Measurement
from archscope.records.measured import PairedRatio
from archscope.units import binary_bytes, plural, ratio, seconds, si

EQUALLY_FAST = 0.1
"""A ratio that may be 1 and is no better known than this is unknown, not 1."""

SAME = 1.005
"""A ratio of predicted times below this reads 1.00."""

PHASES = {"step": "a training step", "inference": "inference"}


def answer(chosen: Sequence[Contender]) -> str:
    """Measured times first where all networks have them."""
    sentences = [text for phase in PHASES if (text := _timed(chosen, phase))]
    costs = _beside(*chosen) if len(chosen) == 2 else least(chosen)
    return " ".join([*sentences, *_predicted(chosen), costs])


def _predicted(chosen: Sequence[Contender]) -> list[str]:
    """Which two networks each GPU that was named is predicted to run fastest."""
    sentences = []
    for place, one in enumerate(chosen[0].predictions):
        times = [(contender.predictions[place].time.seconds, contender) for contender in chosen]
        (least, fast), (more, other) = sorted(times, key=lambda time: time[0])[:2]
        beside = f"{more / least:.2f} times faster than {other.label} ({seconds(more)})"
        if more < SAME * least:
            beside = f"as long as {other.label}"
        where = f"Predicted on {one.time.place}"
        sentences.append(f"{where}: {fast.label} takes {seconds(least)}, {beside}.")
    return sentences


def _timed(chosen: Sequence[Contender], phase: str) -> str:
    times = [measured for c in chosen if (measured := c.measured(phase)) is not None]
    if len(times) < len(chosen):
        return ""
    order = sorted(zip(times, chosen, strict=True), key=lambda pair: pair[0].median)
    (fast, first), (slow, second) = order[:2]
    batches = {c.profile.input.batch for c in chosen if c.profile is not None}
    what = PHASES[phase] + (f" at batch {batches.pop()}" if len(batches) == 1 else "")
    paired = second.ratio_to(first, phase)
    if paired is not None:
        return _paired(first.label, second.label, paired, what)
    overlap = fast.overlaps(slow)
    if overlap is None:
        return f"Which is faster in {what} is unknown: {fast.no_interval or slow.no_interval}."
    if overlap:
        return f"{first.label} and {second.label} are equally fast in {what}, within their spread."
    ratio = _times_faster(fast, slow)
    return f"{first.label} is {ratio} times faster than {second.label} in {what}."


def _paired(first: str, second: str, ratio: PairedRatio, what: str) -> str:
    """Measured in turns: the ratio of each round, so that what drifts cancels."""
    if ratio.value < 1:
        first, second, ratio = second, first, ratio.inverse
    unknown = f"Which of {first} and {second} is faster in {what} is unknown"
    if not ratio.known:
        return f"{unknown}: {plural(ratio.rounds, 'round')} in turns, too few to say."
    if ratio.is_one and ratio.half_width > EQUALLY_FAST:
        return f"{unknown}: their ratio is anywhere from {ratio.low:.2f} to {ratio.high:.2f}."
    times = f"{ratio.value:.2f} ± {max(ratio.half_width, 0.01):.2f}"
    if ratio.is_one:
        return (
            f"{first} and {second} are equally fast in {what}, within their spread ({times} times)."
        )
    return f"{first} is {times} times faster than {second} in {what}."


def _times_faster(fast: Measurement, slow: Measurement) -> str:
    """The ratio of two medians, and the half width of its 95 % interval.

    Relative errors of a quotient of independent numbers add up as squares.
    """
    quotient = slow.median / fast.median
    half = quotient * hypot(fast.relative_half_width, slow.relative_half_width)
    return f"{quotient:.2f} ± {half:.2f}"


def _beside(one: Contender, other: Contender) -> str:
    ours, theirs = one.analysis.total, other.analysis.total
    amounts: list[tuple[str, float | None, float | None]] = [
        ("MACs", ours.macs, theirs.macs),
        ("parameters", ours.params, theirs.params),
        ("training tensors", one.training_tensors, other.training_tensors),
    ]
    shares = [f"{ratio(b / a)} the {name}" for name, a, b in amounts if a and b]
    if not shares:
        if any((ours.macs, ours.params, theirs.macs, theirs.params)):
            return f"{one.label} and {other.label} have no quantity in common."
        return f"Neither {one.label} nor {other.label} has MACs or parameters."
    listed = " and ".join(filter(None, (", ".join(shares[:-1]), shares[-1])))
    return f"{other.label} takes {listed} of {one.label}."


def least(chosen: Sequence[Contender]) -> str:
    """Which network takes least of what is known of some."""
    quantities: tuple[tuple[str, Callable[[Contender], float | None], Callable[[float], str]], ...]
    quantities = (
        ("fewest MACs", lambda c: c.analysis.total.macs, si),
        ("fewest parameters", lambda c: c.analysis.total.params, si),
        ("fewest bytes of training tensors", lambda c: c.training_tensors, binary_bytes),
    )
    found = []
    for title, read, written in quantities:
        known = [(value, c.label) for c in chosen if (value := read(c)) is not None]
        if known:
            value, label = min(known)
            found.append(f"{title}: {label} ({written(value)})")
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}."
