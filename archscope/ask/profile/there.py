"""Networks measured in turns on one GPU of a cluster, so that their times may be compared."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from archscope.ask.network.allowance import with_allowance
from archscope.ask.profile.measured import profile
from archscope.ask.profile.turns import MOST_TOGETHER, measured_in_turns
from archscope.ask.target import Target
from archscope.ask.travel import Luggage, libraries, luggage
from archscope.engines.engine import Engine, Lost
from archscope.engines.place import Work
from archscope.errors import ArchscopeError
from archscope.measure import device as devices
from archscope.measure.session import Plan
from archscope.measure.side_by_side import SideBySide
from archscope.records import Profile

ANY = ""
"""The device of a plan that is chosen where it runs: the fastest there."""

NO_GPU = "PyTorch sees no GPU on that node, so its CPU was measured."


def work(names: Sequence[str], plan: Plan, gpu: str) -> Work:
    """What an engine must know of measuring: a GPU of its own and a fresh process.

    Args:
        names: of the networks.
        plan: its device is `cpu`, or one of the GPU's names.
        gpu: the model, as the label of a node says it; any when empty.
    """
    packages = dict.fromkeys(package for name in names for package in libraries(name))
    files = {place: file for name in names for place, file in luggage(name).files.items()}
    gpus = 0 if plan.settings.device == "cpu" and not gpu else 1
    return Work((), tuple(packages), files, gpus, gpu, fresh=True)


def in_turns(engine: Engine, targets: Sequence[Target], plan: Plan) -> SideBySide:
    """Measure networks in one task on one device, the samples of a few in turns.

    Args:
        engine: where.
        targets: networks that have a name.
        plan: its device may be `ANY`.

    Raises:
        ArchscopeError: a network fails there, or the process that measured ended.
    """
    sent = tuple((target, luggage(target.name)) for target in targets)
    return once(engine, partial(_measured, sent), plan)


def once(engine: Engine, measure: Callable[[Plan], SideBySide], plan: Plan) -> SideBySide:
    """Measure in one task; the plan's device is chosen where it runs.

    Args:
        engine: where.
        measure: a module's own function, or a partial of one.
        plan: its device may be `ANY`.

    Raises:
        ArchscopeError: a network fails there, or the process that measured ended.
    """
    for _, found in engine.completed(with_allowance(partial(_there, measure)), [plan]):
        if isinstance(found, Lost):
            raise _lost("measuring", found)
        if isinstance(found, ArchscopeError):
            raise found
        return found
    raise AssertionError("one task has one result")


def each(
    engine: Engine, targets: Sequence[Target], plan: Plan
) -> Iterator[tuple[int, Profile | ArchscopeError]]:
    """Measure networks that are not compared, each in a task of its own, as devices are free.

    Args:
        engine: where.
        targets: networks that have a name.
        plan: its device may be `ANY`.

    Returns:
        the place of each network and its Profile, or why it has none.
    """
    sent = [(target, luggage(target.name)) for target in targets]
    for index, found in engine.completed(partial(_alone, plan), sent):
        if isinstance(found, Lost):
            yield index, _lost(targets[index].name, found)
        else:
            yield index, found


def _alone(plan: Plan, sent: tuple[Target, Luggage]) -> Profile | ArchscopeError:
    found = _there(partial(_measured, (sent,)), plan)
    return found if isinstance(found, ArchscopeError) else found.profiles[0]


def _lost(what: str, found: Lost) -> ArchscopeError:
    return ArchscopeError(what, str(found), "try a smaller batch")


def _there(measure: Callable[[Plan], SideBySide], plan: Plan) -> SideBySide | ArchscopeError:
    """What was measured, or why there are none; an error of the user is not one of the worker."""
    from archscope.saved import answers

    chosen = plan.settings.device == ANY
    device = devices.best() if chosen else plan.settings.device
    here = replace(plan, settings=replace(plan.settings, device=device), roofs=answers.roofs())
    try:
        found = measure(here)
    except ArchscopeError as error:
        return error
    notes = (NO_GPU,) if chosen and device == "cpu" else ()
    return replace(found, profiles=tuple(_with_node(each, notes) for each in found.profiles))


def _with_node(found: Profile, notes: tuple[str, ...]) -> Profile:
    facts = (("node", platform.node()), *found.environment.facts)
    environment = replace(found.environment, facts=facts)
    return replace(found, environment=environment, notes=(*found.notes, *notes))


def _measured(sent: Sequence[tuple[Target, Luggage]], plan: Plan) -> SideBySide:
    """The samples of a few networks alternate; of more, one is measured after the other."""
    if not 1 < len(sent) <= MOST_TOGETHER:
        return SideBySide(tuple(_named([each], plan, _one).profiles[0] for each in sent))
    return _named(sent, plan, _in_turns)


def _one(targets: Sequence[Target], plan: Plan) -> SideBySide:
    return SideBySide((profile(targets[0], plan),))


def _in_turns(targets: Sequence[Target], plan: Plan) -> SideBySide:
    return measured_in_turns(targets, plan, lambda label, share, ratio: None)


def _named(
    sent: Sequence[tuple[Target, Luggage]],
    plan: Plan,
    measure: Callable[[Sequence[Target], Plan], SideBySide],
) -> SideBySide:
    """Measure networks where a user's file has another path, and call them as the user does.

    Raises:
        ArchscopeError: one fails.
    """
    here = [replace(target, model=names.name_here()) for target, names in sent]
    try:
        found = measure(here, plan)
    except ArchscopeError as error:
        parts = [error.argument, error.problem, error.remedy]
        for _, names in sent:
            parts = [names.worded(part) for part in parts]
        raise ArchscopeError(*parts) from error
    named = tuple(
        replace(
            one, model=names.name, analysis=one.analysis and replace(one.analysis, model=names.name)
        )
        for one, (_, names) in zip(found.profiles, sent, strict=True)
    )
    return replace(found, profiles=named)
