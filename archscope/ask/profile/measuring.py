"""How and where networks are measured, and what a user sees meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from archscope.ask.profile.there import work
from archscope.engines.engine import Engine
from archscope.engines.local import NAME as LOCAL
from archscope.engines.place import engine
from archscope.measure.session import Plan, Progress, silent


@dataclass(frozen=True)
class Feedback:
    """Shows lines, and a bar for each number.

    Args:
        say: shows a line.
        bars: shows how far the number is that is being measured, until it is left.
    """

    say: Callable[[str], None]
    bars: Callable[[], AbstractContextManager[Progress]]


SILENT = Feedback(lambda line: None, lambda: nullcontext(silent))
"""Shows nothing, as in Python."""


@dataclass(frozen=True)
class Measuring:
    """How and where networks are measured.

    Args:
        plan: what is measured of each.
        on: where, as the user names it: `local`, `ray` or `ray://host:port`.
        gpu: the model of GPU that is wanted there, as the label of a node says it; any when empty.
        feedback: what the user sees meanwhile.
    """

    plan: Plan
    on: str = LOCAL
    gpu: str = ""
    feedback: Feedback = SILENT

    @property
    def here(self) -> bool:
        """Whether it is in this process."""
        return self.on == LOCAL

    @contextmanager
    def engine(self, names: Sequence[str], how: str = "in turns on one of") -> Iterator[Engine]:
        """An engine whose tasks have a GPU and a process of their own.

        Args:
            names: of the networks.
            how: a few words for the user.

        Raises:
            ArchscopeError: no node can serve.
        """
        say = self.feedback.say
        with engine(self.on, work(names, self.plan, self.gpu), jobs=None, tell=say) as place:
            say(f"measuring {', '.join(names)} {how} {place.place}")
            yield place
