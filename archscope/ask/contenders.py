"""Networks to set side by side: which ones, counted, measured or solved for equal cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from archscope.ask.count import analyse, analyse_both_passes
from archscope.ask.match import Solved, meter, solve, width_keyword
from archscope.ask.target import Target, network_target
from archscope.errors import ArchscopeError
from archscope.latency.place import Place
from archscope.parameters import parameter
from archscope.quantities import MATCHED
from archscope.records import Analysis, InputSpec, Measurement, Prediction, Profile
from archscope.records.measured import PairedRatio
from archscope.resolve.names import run_together
from archscope.saved.record import Saved
from archscope.wording import network_title

if TYPE_CHECKING:
    from archscope.resolve.published import Recipe


@dataclass(frozen=True)
class Contender:
    """One network of a comparison.

    Args:
        label: unlike every other one's.
        analysis: what was counted.
        profile: what was measured, when it was.
        top1, top5: published ImageNet accuracy, as fractions.
        training_tensors: predicted peak of the tensors of a training step with plain SGD, bytes.
        training_failure: why it could not be predicted.
        predictions: times of a step on GPUs that need not be here.
        recipe: whose accuracy it is, such as `IMAGENET1K_V1`.
        rounds: of each phase that was measured in turns with the other networks, seconds in each
            round.
    """

    label: str
    analysis: Analysis
    profile: Profile | None = None
    top1: float | None = None
    top5: float | None = None
    training_tensors: int | None = None
    training_failure: str = ""
    predictions: tuple[Prediction, ...] = ()
    recipe: str = ""
    rounds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def ratio_to(self, other: Contender, phase: str) -> PairedRatio | None:
        """How many times as long as the other it takes, where both were measured in turns."""
        ours, theirs = self.rounds.get(phase), other.rounds.get(phase)
        if not ours or not theirs or len(ours) != len(theirs):
            return None
        from archscope.measure.turns import paired_ratio

        return paired_ratio(ours, theirs)

    def measured(self, phase: str) -> Measurement | None:
        """A whole-step Measurement of the profile."""
        return None if self.profile is None else self.profile.phases.get(phase)


ANOTHER = (
    "name another one; to compare a network with itself under other settings, save the summary "
    "of each and name the files"
)


def contenders(
    targets: Sequence[Target | Saved], places: Sequence[Place] = (), weights: Recipe = "V1"
) -> tuple[Contender, ...]:
    """Count every network, forward and, where it can, backward; records are taken as they are.

    Args:
        targets: networks with their calls, or saved records of one network each (a Profile brings
            its measured times).
        places: where the time of a step is predicted.
        weights: whose published accuracy is shown; networks trained by other recipes have none.

    Raises:
        ArchscopeError: fewer than two, or one cannot be counted.
    """
    if len(targets) < 2:
        together = run_together(targets[0].name) if targets else None
        if together is not None:
            raise together
        raise ArchscopeError("compare", "needs at least two models", ANOTHER)
    return those_of_a_shard(targets, places, weights)


def those_of_a_shard(
    targets: Sequence[Target | Saved], places: Sequence[Place] = (), weights: Recipe = "V1"
) -> tuple[Contender, ...]:
    """The same of a part of them, which may be one.

    Raises:
        ArchscopeError: one cannot be counted.
    """
    for target in targets:
        if isinstance(target, Target) and isinstance(target.input, InputSpec):
            _require_numbers(target.input)
    named: dict[tuple[str, str], Contender] = {}  # a repeated name is counted once
    found = []
    for target in targets:
        if isinstance(target, Target) and isinstance(target.model, str):
            asked = target.model, repr(target.question)
            if asked not in named:
                named[asked] = _contender(target, places, weights)
            found.append(named[asked])
        else:
            found.append(_contender(target, places, weights))
    for contender in found:
        _require_numbers(contender.analysis.input)
    labels = distinct([network_title(c.analysis.model, c.analysis.keywords) for c in found])
    return tuple(
        replace(contender, label=label) for label, contender in zip(labels, found, strict=True)
    )


def _contender(target: Target | Saved, places: Sequence[Place], weights: Recipe) -> Contender:
    if isinstance(target, Saved):
        analysis, one = target.count(), target.record
        profile = one if isinstance(one, Profile) else None
        predictions = _predictions(network_target(target), places) if places else ()
        top1, top5, recipe = _accuracy(analysis, weights)
        return Contender("", analysis, profile, top1, top5, predictions=predictions, recipe=recipe)
    from archscope.ask.memory.prediction import predict

    analysis = analyse_both_passes(target)
    bytes_needed, failure = None, ""
    try:
        size = target.batch if isinstance(target.batch, int) else None
        bytes_needed = predict(replace(target, batch=size)).peak.allocated
    except ArchscopeError as error:  # what can be counted may still not be trained
        failure = error.problem
    predictions = _predictions(target, places)
    top1, top5, recipe = _accuracy(analysis, weights)
    return Contender("", analysis, None, top1, top5, bytes_needed, failure, predictions, recipe)


def _predictions(target: Target, places: Sequence[Place]) -> tuple[Prediction, ...]:
    if not places:
        return ()
    from archscope.ask.predict import predicted_at

    return predicted_at(target, places)


def _require_numbers(given: InputSpec) -> None:
    if given.symbols:
        raise ArchscopeError(
            f"{given.symbols[0]} in {given}",
            "is a symbol where a number is needed",
            "give a number here, or ask archscope formula",
        )


def _accuracy(analysis: Analysis, weights: Recipe) -> tuple[float | None, float | None, str]:
    """Published top-1 and top-5 of torchvision's network on this input, and their recipe."""
    if analysis.keywords or "torchvision" not in dict(analysis.versions):
        return None, None, ""
    from archscope.saved import answers

    shapes = analysis.input.sample_shapes

    def accuracy() -> list[Any]:
        from archscope.resolve.published import trained_by

        facts = trained_by(analysis.model, weights, shapes)
        if facts is None:
            return [None, None, ""]
        return [
            *(round(facts[key] / 100, 6) for key in ("acc@1", "acc@5")), facts["entry"]
        ]  # fmt: skip

    asked = {"shapes": shapes, "weights": weights}
    top1, top5, recipe = answers.answer("accuracy of weights", analysis.model, asked, accuracy)
    return top1, top5, recipe


def distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where one stands twice."""
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return labels


def matched(
    targets: Sequence[Target | Saved], match: str | None, keyword: str | None
) -> tuple[list[Target | Saved], Solved | None]:
    """Solve a keyword of every later network for the first one's total.

    Args:
        targets: networks with their calls or, the first, a saved record.
        match: the quantity that is to be equal, `macs`, `params` or `activations`; when `None` the
            networks stay as they are.
        keyword: constructor keyword; each network's width when `None`.

    Returns:
        the networks with the solution among their keywords, and what was solved for.

    Raises:
        ArchscopeError: another quantity, a keyword without one, a later one is a saved record, or
            has no such keyword.
    """
    if match is None:
        if keyword is not None:
            goes_with = f"goes with {parameter('match')}"
            raise ArchscopeError(parameter("by"), goes_with, f"add {parameter('match', 'macs')}")
        return list(targets), None
    if match not in MATCHED:
        known = f"use one of {', '.join(MATCHED)}"
        raise ArchscopeError(parameter("match", match), "cannot be matched", known)
    quantity = MATCHED[match]
    first, *others = targets
    analysis = analyse(first)
    wanted = round(quantity.total(analysis.total))
    complete: list[Target | Saved] = [first]
    solutions = []
    for other in others:
        if isinstance(other, Saved):
            raise ArchscopeError(
                other.name, "a saved record cannot be built again", "name the network itself"
            )
        by = keyword or width_keyword(other)
        solution = solve(wanted, meter(other, by, quantity))
        complete.append(other.having(**{by: solution.value}))
        solutions.append((other.name, by, solution))
    reference_title = network_title(analysis.model, analysis.keywords)
    return complete, Solved(reference_title, quantity, tuple(solutions))
