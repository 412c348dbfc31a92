"""What a user can get wrong: one line that names the argument and the remedy."""

from __future__ import annotations

from collections.abc import Callable

from archscope.inert import one_line
from archscope.parameters import in_python


class ArchscopeError(Exception):
    """A mistake of the caller, reported in one line; the command line exits with 2.

    Its text names parameters as Python does; `worded` is for other readers.

    Args:
        argument: what the user gave: a `parameter(name, value)`, or as they would recognise it
            (`resnet5`, `run.json`).
        problem: what is wrong with it; names no parameter, since tables quote it.
        remedy: what to do instead; parameters in it are marked by `parameter` too.
    """

    def __init__(self, argument: str, problem: str, remedy: str = "") -> None:
        self.argument = argument
        self.problem = problem
        self.remedy = remedy
        super().__init__(self.worded(in_python))

    def __reduce__(self) -> tuple[Callable[..., ArchscopeError], tuple[object, ...]]:
        """Go to another process as it is, whatever the class is made of."""
        return _restored, (type(self), self.argument, self.problem, self.remedy)

    def worded(self, wording: Callable[[str], str]) -> str:
        """The line with parameters written by a function of `archscope.parameters`.

        It is printable and bounded, whatever was given: each of its pieces loses its middle where
        it is far too long, so that problem and remedy stay.
        """
        argument, problem, remedy = (
            one_line(wording(piece)) for piece in (self.argument, self.problem, self.remedy)
        )
        return f"{argument}: {with_remedy(problem, remedy)}"


def _restored(
    kind: type[ArchscopeError], argument: str, problem: str, remedy: str
) -> ArchscopeError:
    error = kind.__new__(kind)
    ArchscopeError.__init__(error, argument, problem, remedy)
    return error


def with_remedy(problem: str, remedy: str) -> str:
    """What is wrong and what to do about it, with one mark between them.

    A problem that ends like a sentence, as PyTorch's and Click's do, loses its full stop; after a
    question the remedy is a sentence of its own.
    """
    if not remedy:
        return problem
    if problem.endswith(("?", "!")):
        return f"{problem} {remedy[0].upper()}{remedy[1:]}"
    return f"{problem.rstrip('.;: ')}; {remedy}"


class NetworkError(ArchscopeError):
    """What is wrong with a network, where its name is not known; whoever knows it says it."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__("network", problem, remedy)

    def named(self, name: str, remedy: str = "") -> ArchscopeError:
        """The same under the network's name, with the remedy that the command offers, if any."""
        return ArchscopeError(name, self.problem, remedy or self.remedy)


class BackwardError(ArchscopeError):
    """A network that has no backward pass, or one that fails; its forward pass runs."""


class UnknownCostError(ArchscopeError):
    """Operators without a formula where the count must be exact; the command line exits with 1."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, shortened."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0] if lines else type(error).__name__, 200)
