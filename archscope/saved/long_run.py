"""Long runs that Ctrl-C, a kill or a full disk may end, and what is said of their journals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope import interruption
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.saved.journal import Journal, Key, UnusableError
from archscope.saved.journal_folder import in_default_folder

if TYPE_CHECKING:
    from os import PathLike


NO_JOURNAL = "no journal is written, so this run cannot be resumed"


@dataclass(frozen=True)
class LongRun:
    """A run whose parts are worth keeping.

    Args:
        file_name: of its journal, where the user names none.
        identity: what is run.
        key: says what decides its parts at this moment.
        read: reads a part back, and raises a ValueError for a damaged one.
        count: how many parts there are.
        parts: what they are, such as `points`.
    """

    file_name: str
    identity: Mapping[str, Any]
    key: Key
    read: Callable[[dict[str, Any]], object]
    count: int
    parts: str

    @contextmanager
    def named_journal(
        self, path: str | PathLike[str] | None, resume: bool
    ) -> Iterator[Journal | None]:
        """The journal that the user names, `None` without a name or where it cannot be written.

        What is not taken of an earlier run, or why there is no journal, is a warning.

        Raises:
            ArchscopeError: the file is not a journal of this run, or `resume` and no name.
        """
        if path is None and resume:
            remedy = "give the journal to resume"
            raise ArchscopeError(parameter("resume"), "needs a journal", remedy)

        def warn(line: str) -> None:
            warnings.warn(line, stacklevel=6)

        journal = None if path is None else self._opened(str(path), resume, warn)
        if journal is None:
            yield None
            return
        with journal:
            for line in journal.left:
                warnings.warn(line, stacklevel=4)
            yield journal

    @contextmanager
    def journal(
        self, path: str | None, resume: bool, say: Callable[[str], None]
    ) -> Iterator[Journal | None]:
        """The journal that the user names, or else one in the cache folder, if it can be written.

        It is open until the answer is written, since Ctrl-C may come meanwhile.
        Without one the run goes on, and `say` gets a line that says why; other lines say which
        parts of an earlier run are not taken, and after Ctrl-C how many are saved.

        Raises:
            ArchscopeError: the file is not a journal of this run, or another process writes it.
        """
        journal = self._opened(path, resume, say)
        if journal is None:
            with interruption.answered():
                yield None
            return
        with interruption.answered(), journal:
            for line in journal.left:
                say(line)
            try:
                yield journal
            except KeyboardInterrupt:
                self._offer(journal, say)
                raise
            if journal.failure:
                say(f"the journal ends early ({journal.failure}), but this run has every point")
            elif journal.changed:
                say("sources changed during this run; --resume repeats what was counted after that")

    def _opened(self, path: str | None, resume: bool, say: Callable[[str], None]) -> Journal | None:
        try:
            if path is None:
                journal = in_default_folder(
                    self.file_name,
                    self.identity,
                    resume=resume,
                    key=self.key,
                )
            else:
                journal = Journal(
                    Path(path),
                    self.identity,
                    resume=resume,
                    key=self.key,
                )
        except ArchscopeError as error:
            if not isinstance(error, UnusableError) and (resume or path is not None):
                raise
            where = "" if path is None else f"{path} "
            lost = "nothing is resumed, and no journal is written" if resume else NO_JOURNAL
            say(f"{lost}: {where}{error.problem}")
            return None
        journal.keep(self.read)
        return journal

    def _offer(self, journal: Journal, say: Callable[[str], None]) -> None:
        done = len(journal.entries)
        if not done:
            return
        offer = f"--resume {'runs the others' if done < self.count else 'shows them'}"
        if not journal.resumable:
            offer = journal.failure or f"--resume counts them again, since {journal.obstacle()}"
        say(f"{done} of {self.count} {self.parts} are saved; {offer}")
