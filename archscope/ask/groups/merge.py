"""The journals of the shards of `sweep-groups` → its networks, as if one run counted them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archscope.ask.groups.entries import BASE, SINGLE, Question, named, read
from archscope.ask.groups.members import Member
from archscope.ask.groups.sweep import arranged
from archscope.ask.groups.views import GroupSweep
from archscope.ask.profile.points import in_files
from archscope.errors import ArchscopeError
from archscope.records import Profile
from archscope.saved.journal_lines import Written
from archscope.saved.shards import Kind, ShardFile, joined, require_one_run

NETWORKS = Kind("sweep", lambda entry: (entry["view"], entry["asked"]), read)


def merged(files: Sequence[ShardFile]) -> tuple[GroupSweep, list[Profile]]:
    """Join the journals of shards, in any order.

    Args:
        files: the journals.

    Returns:
        the sweep, and the times that were measured.

    Raises:
        ArchscopeError: a file is of another sweep, two were counted with different versions or
            disagree, or networks are missing.
    """
    questions = [_question(file) for file in files]
    require_one_run(files, questions, NETWORKS.name)
    question = questions[0]
    counted = [replace(file, written=_counted(file.written)) for file in files]
    entries = joined(counted, [*question.points, BASE, SINGLE], NETWORKS)
    model = files[0].run["groups"]["model"]
    found = {point: named(member, model) for point, member in map(read, entries)}
    base, single = found.pop(BASE), found.pop(SINGLE)
    assert isinstance(base, Member) and isinstance(single, Member), "a sweep begins with both"
    return arranged(question, base, single, found), in_files(files)


def _counted(written: Written) -> Written:
    return replace(written, entries=tuple(e for e in written.entries if "view" in e))


def _question(file: ShardFile) -> Question:
    try:
        return Question.from_identity(file.run)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ArchscopeError(file.path, "is not the journal of group counts", "name one") from None
