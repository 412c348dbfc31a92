"""One article: a question, tables and figures, sentences, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archscope.records import Profile
from archscope.render.markdown import markdown
from archscope.table import Chart, Table
from reports.data import Data, measured_stamp


@dataclass(frozen=True)
class Figure:
    """Charts in one file.

    Args:
        name: of the file, without its suffix.
        alt: what a screen reader reads.
        charts: below one another.
    """

    name: str
    alt: str
    charts: tuple[Chart, ...]

    @property
    def file(self) -> str:
        return f"{self.name}.svg"


Block = str | Table | Figure


@dataclass(frozen=True)
class Page:
    """A page of reports/.

    Args:
        slug: its file name, without the suffix.
        title: heads it.
        summary: one sentence for the index.
        question: what it answers.
        blocks: paragraphs, tables and figures.
        findings: sentences written from the numbers, the answer first.
        commands: what prints the same numbers.
        profiles: measurements that it shows; `None` where it would show none.
    """

    slug: str
    title: str
    summary: str
    question: str
    blocks: tuple[Block, ...]
    findings: tuple[str, ...]
    commands: tuple[str, ...]
    profiles: tuple[Profile, ...] | None = None

    @property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(block for block in self.blocks if isinstance(block, Figure))

    def markdown(self, data: Data) -> str:
        """The page as Markdown; a note that several tables share stands below the first."""
        answer, *others = self.findings or ("",)
        parts = [f"# {self.title}", *([f"**{answer}**"] if answer else []), self.question]
        written: set[str] = set()
        for block in self.blocks:
            if isinstance(block, Table):
                notes = tuple(note for note in block.notes if note not in written)
                written.update(notes)
                parts.append(markdown(replace(block, notes=notes)).rstrip())
            elif isinstance(block, Figure):
                parts.append(f"![{block.alt}](figures/{block.file})")
            else:
                parts.append(block)
        if others:
            parts += ["## What it shows", "\n".join(others)]
        parts += ["## How it was made", _code(self.commands), self._stamp(data)]
        return "\n\n".join(parts) + "\n"

    def _stamp(self, data: Data) -> str:
        stamps = [data.stamp()]
        if self.profiles is not None:
            stamps.append(measured_stamp(list(self.profiles)))
        return "\n".join(stamps)


def _code(commands: Sequence[str]) -> str:
    return "\n".join(["```sh", *commands, "```"])
