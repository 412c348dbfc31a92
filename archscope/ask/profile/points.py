"""Measured points of a long run as lines of a journal, so that a later run repeats none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope import archive
from archscope.ask.target import Target
from archscope.ask.travel import decided_by, luggage
from archscope.errors import ArchscopeError
from archscope.measure.session import Plan
from archscope.records import Profile
from archscope.saved.journal import Journal
from archscope.saved.journal_lines import address

if TYPE_CHECKING:
    from archscope.saved.journal import Key
    from archscope.saved.shards import ShardFile

MEASURED = "measured"
"""Field of an entry that has the question of a measurement; beside it is its `profile`."""

PROBLEM = "problem"
"""Field of an entry that says why there is no `profile`."""

Question = dict[str, Any]


def question(target: Target, plan: Plan, gpu: str = "") -> Question:
    """All that is asked of one measurement; a user's file without its folder.

    Args:
        target: a network that has a name.
        plan: how it is measured; a device that nobody chose is no part of the question, since it
            is the fastest wherever it runs.
        gpu: the model that was asked for, as a label of a node says it.
    """
    place, colon, name = target.name.rpartition(":")
    settings = {key: value for key, value in asdict(plan.settings).items() if value is not None}
    if not plan.chosen:
        settings["device"] = ""
    rule = {"precision": plan.rule.precision, "max_seconds": plan.rule.max_seconds}
    return {
        "network": f"{Path(place).name}{colon}{name}",
        "keywords": {key: repr(value) for key, value in target.keywords.items()},
        "input": target.input_text,
        "batch": target.batch,
        "settings": {**settings, **rule, "modes": list(plan.modes), "gpu": gpu.lower()},
    }


def entry(asked: Question, name: str, found: Profile) -> dict[str, Any]:
    """A measurement as a line of a journal; the device's model is one of what decided it.

    Args:
        asked: its question.
        name: of the network.
        found: what was measured.
    """
    facts = dict(found.environment.facts)
    device = facts.get("device name", found.environment.device)
    decisive = {**decided_by(luggage(name)), "device": device}
    return {MEASURED: asked, "profile": archive.encoded(found), **address(asked, decisive)}


def failed(asked: Question, name: str, failure: ArchscopeError) -> dict[str, Any]:
    """A network that could not be measured as a line of a journal, which no run takes for done.

    Args:
        asked: its question.
        name: of the network.
        failure: why there is no measurement.
    """
    decisive = {**decided_by(luggage(name)), "device": ""}
    return {MEASURED: asked, PROBLEM: failure.problem, **address(asked, decisive)}


def read(entry: Mapping[str, Any]) -> Profile:
    """Read a line of a journal.

    Raises:
        ValueError: it is damaged.
    """
    if not isinstance(entry.get(MEASURED), dict):
        raise ValueError(f"no field {MEASURED!r}")
    return archive.decoded(Profile, entry.get("profile"))


def key(targets: Sequence[Target]) -> Key:
    """What decides measurements of these networks besides their questions, as a journal asks it."""
    from archscope.saved import answers

    return answers.Deciding(*((target.model, target.keywords) for target in targets))


def measured(
    questions: Sequence[Question],
    names: Sequence[str],
    measure: Callable[[Sequence[int]], Iterator[tuple[int, Profile]]],
    journal: Journal | None,
) -> list[Profile]:
    """Measure what the journal does not hold yet.

    Args:
        questions: of each network, as `question` makes them.
        names: of the networks.
        measure: measures the networks of these positions, and yields each as it is known.
        journal: gets each measurement that was not interrupted.

    Returns:
        a Profile each, up to one that was interrupted.
    """
    found = {} if journal is None else _known(questions, journal)
    waiting = [index for index in range(len(questions)) if index not in found]
    if waiting:
        for index, profile in measure(waiting):
            found[index] = profile
            if profile.interrupted:
                break
            if journal is not None:
                journal.add(entry(questions[index], names[index], profile))
    return [found[index] for index in sorted(found)]


def require_finished(profiles: Sequence[Profile]) -> None:
    """End as Ctrl-C does where a measurement was interrupted.

    Raises:
        KeyboardInterrupt: one was.
    """
    if any(profile.interrupted for profile in profiles):
        raise KeyboardInterrupt


def _known(questions: Sequence[Question], journal: Journal) -> dict[int, Profile]:
    held = [e for e in journal.entries if MEASURED in e]
    return {
        index: read(one)
        for index, asked in enumerate(questions)
        for one in held
        if one[MEASURED] == asked
    }


def merged(files: Sequence[ShardFile], kind: str) -> tuple[dict[str, Any], list[Profile]]:
    """The measurements of shards that were all made; see `outcomes`.

    Raises:
        ArchscopeError: a network has none, or the files cannot be joined.
    """
    run, found = outcomes(files, kind)
    for one in found:
        if isinstance(one, ArchscopeError):
            raise one
    return run, [one for one in found if isinstance(one, Profile)]


def outcomes(
    files: Sequence[ShardFile], kind: str
) -> tuple[dict[str, Any], list[Profile | ArchscopeError]]:
    """Join the measurements of shards, in the order in which their networks were named.

    Args:
        files: the journals.
        kind: what their first lines call the run.

    Returns:
        what else the run was asked, and the profiles; for a network without one, why.

    Raises:
        ArchscopeError: a file is of another run, or measurements are missing or damaged.
    """
    from archscope.saved.shards import Kind, joined, require_one_run

    runs = [file.run[kind] for file in files]
    require_one_run(files, runs, "run")
    points = [_point(asked) for asked in runs[0]["questions"]]
    # Packages that decide one network do not decide the other; the device may be another model.
    networks = Kind("run", lambda line: _point(line[MEASURED]), _outcome, True, FREE)
    return runs[0], [_outcome(line) for line in joined(files, points, networks)]


def _outcome(entry: Mapping[str, Any]) -> Profile | ArchscopeError:
    """What became of a network; see `read`."""
    if PROBLEM not in entry:
        return read(entry)
    return ArchscopeError(str(entry[MEASURED]["network"]), str(entry[PROBLEM]))


FREE = frozenset({"device", "file", "timm", "transformers", "diffusers"})
"""Versions in which the measurements of one run may differ."""


def _point(asked: Question) -> str:
    return json.dumps(asked, sort_keys=True)


def in_files(files: Sequence[ShardFile]) -> list[Profile]:
    """The measurements of the journals of shards, each question's first, in their order.

    Raises:
        ArchscopeError: one is damaged.
    """
    found: list[tuple[Question, Profile]] = []
    for file in files:
        for line in file.written.entries:
            if MEASURED in line and line[MEASURED] not in [asked for asked, _ in found]:
                try:
                    found.append((line[MEASURED], read(line)))
                except ValueError as error:
                    problem = f"has a damaged entry ({error})"
                    raise ArchscopeError(file.path, problem, "run its shard again") from None
    return [profile for _, profile in found]
