"""Networks to set side by side: which ones, counted, measured or solved for equal cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archscope.ask.count import analyse, analyse_both_passes
from archscope.ask.match import READ, Quantity, Solved, meter, solve, width_keyword
from archscope.errors import ArchscopeError
from archscope.records import Analysis, Dim, InputSpec, Measurement, Profile
from archscope.resolve import parse_input
from archscope.saved.record import saved
from archscope.wording import network_title


@dataclass(frozen=True)
class Contender:
    """One network of a comparison.

    Args:
        label: unlike every other one's.
        analysis: what was counted.
        profile: what was measured, when it was.
        top1, top5: published ImageNet accuracy, as fractions.
        training_bytes: predicted peak of a training step with plain SGD.
        training_failure: why it could not be predicted.
    """

    label: str
    analysis: Analysis
    profile: Profile | None = None
    top1: float | None = None
    top5: float | None = None
    training_bytes: int | None = None
    training_failure: str = ""

    def measured(self, phase: str) -> Measurement | None:
        """A whole-step Measurement of the profile."""
        return None if self.profile is None else self.profile.phases.get(phase)


def contenders(
    models: Sequence[Any],
    *,
    input: Any = None,
    batch: Dim | None = None,
    keywords: Sequence[Mapping[str, Any]] | None = None,
) -> tuple[Contender, ...]:
    """Count every model, forward and, where it can, backward; saved records are taken as they are.

    Args:
        models: names, modules, classes, or saved records (a Profile brings its measured times).
        input: for all that are counted now; each network's own default when `None`.
        batch: for all that are counted now, and for saved files that hold several batches.
        keywords: constructor keywords of each model.

    Raises:
        ArchscopeError: fewer than two models, or one cannot be counted.
    """
    if len(models) < 2:
        raise ArchscopeError("compare", "needs at least two models", "name another one")
    if isinstance(input, str):
        _require_numbers(parse_input(input))
    given = keywords or [{} for _ in models]
    counted: dict[tuple[str, str], Contender] = {}
    found = []
    for model, options in zip(models, given, strict=True):
        if not isinstance(model, str):
            found.append(_contender(model, input, batch, options))
            continue
        asked = model, repr(options)  # a repeated name is counted once
        if asked not in counted:
            counted[asked] = _contender(model, input, batch, options)
        found.append(counted[asked])
    for contender in found:
        _require_numbers(contender.analysis.input)
    labels = _distinct([network_title(c.analysis.model, c.analysis.keywords) for c in found])
    return tuple(
        replace(contender, label=label) for label, contender in zip(labels, found, strict=True)
    )


def _contender(model: Any, input: Any, batch: Dim | None, keywords: Mapping[str, Any]) -> Contender:
    record = saved(model)
    if record is not None:
        # Input and batch are for the networks counted now: a record keeps its own, and only a
        # file of several batches lets one be chosen.
        analysis, one = record.count(batch), record.at(batch)
        profile = one if isinstance(one, Profile) else None
        return Contender("", analysis, profile, *_accuracy(analysis))
    from archscope.ask.memory import predict

    analysis = analyse_both_passes(model, input=input, batch=batch, keywords=keywords)
    bytes_needed, failure = None, ""
    try:
        size = batch if isinstance(batch, int) else None
        bytes_needed = predict(model, input=input, batch=size, keywords=keywords).peak_bytes
    except ArchscopeError as error:  # what can be counted may still not be trained
        failure = error.problem
    return Contender("", analysis, None, *_accuracy(analysis), bytes_needed, failure)


def _require_numbers(given: InputSpec) -> None:
    if given.symbols:
        raise ArchscopeError(
            f"{given.symbols[0]} in {given}",
            "is a symbol where a number is needed",
            "give a number here, or ask archscope formula",
        )


def _accuracy(analysis: Analysis) -> tuple[float | None, float | None]:
    """Published top-1 and top-5 of torchvision's network on this input, as fractions."""
    if analysis.keywords or "torchvision" not in dict(analysis.versions):
        return None, None
    from archscope.saved import answers

    shapes = analysis.input.sample_shapes

    def accuracy() -> list[float | None]:
        from archscope.resolve import published

        facts = published(analysis.model)
        if shapes != facts["input"].sample_shapes:
            return [None, None]
        top1, top5 = facts["acc@1"], facts["acc@5"]
        return [None, None] if top1 is None else [round(top1 / 100, 6), round(top5 / 100, 6)]

    top1, top5 = answers.answer("accuracy", analysis.model, {"shapes": shapes}, accuracy)
    return top1, top5


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where one stands twice."""
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return labels


def matched(
    models: Sequence[Any],
    quantity: Quantity,
    keyword: str | None,
    keywords: Sequence[Mapping[str, Any]],
    *,
    input: Any = None,
    batch: Dim | None = None,
) -> tuple[list[dict[str, Any]], Solved]:
    """Solve a keyword of every later model for the first one's total.

    Args:
        models: names, classes or, the first, a saved record.
        quantity: what is to be equal.
        keyword: constructor keyword; each model's width when `None`.
        keywords: the other constructor keywords of each model.
        input: as for `contenders`.
        batch: as for `contenders`.

    Returns:
        constructor keywords of each model with the solution, and what was solved for.

    Raises:
        ArchscopeError: a later model is a saved record, or has no such keyword.
    """
    reference = saved(models[0])
    if reference is None:
        analysis = analyse(models[0], input=input, batch=batch, keywords=keywords[0])
    else:
        analysis = reference.count(batch)
    target = READ[quantity](analysis)
    complete, solutions = [dict(keywords[0])], []
    for model, others in zip(models[1:], keywords[1:], strict=True):
        if (record := saved(model)) is not None:
            raise ArchscopeError(
                record.name, "a saved record cannot be built anew", "name the network itself"
            )
        by = keyword or width_keyword(model)
        given = {key: value for key, value in others.items() if key != by}
        total = meter(model, by, quantity, keywords=given, input=input, batch=batch)
        solution = solve(target, total)
        complete.append({**given, by: solution.value})
        solutions.append((str(model), by, solution))
    reference_title = network_title(analysis.model, analysis.keywords)
    return complete, Solved(reference_title, quantity, tuple(solutions))
