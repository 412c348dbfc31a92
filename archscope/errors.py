"""What a user can get wrong: one line that names the argument and the remedy."""

from __future__ import annotations


class ArchscopeError(Exception):
    """A mistake of the caller, told in one line; the command line exits with 2.

    Args:
        argument: what the user gave, as they would recognise it (`--input`, `resnet5`, `run.json`).
        problem: what is wrong with it.
        remedy: what to do instead.
        example: an option that would do, such as `--input 3x224x224`, where the remedy is one.
    """

    def __init__(self, argument: str, problem: str, remedy: str = "", example: str = "") -> None:
        self.argument = argument
        self.problem = problem
        self.remedy = remedy
        self.example = example
        text = f"{argument}: {problem}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(text.split()))


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
    """Operators without a formula under `--strict`; the command line exits with 1."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, shortened."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
