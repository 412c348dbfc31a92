"""What others say of a network, and how it compares: figures, where they differ, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

UNKNOWN = "no known reason"

AS_FAR = "equal as far as it is counted"
"""Of a count that is a lower bound: both may leave out the same."""

TITLES = {"macs": "MACs", "macs_training": "MACs with backward", "params": "Params"}


@dataclass(frozen=True)
class Disagreement:
    """One layer on which a tool and archscope disagree.

    Args:
        name: dotted path, empty for the network's own operators.
        kind: class name.
        theirs, ours: multiply-accumulates of the layer without its children.
        reason: empty when it is not known.
    """

    name: str
    kind: str
    theirs: int
    ours: int
    reason: str


@dataclass(frozen=True)
class Figure:
    """One total that somebody else states.

    Args:
        quantity: `macs`, `macs_training` (forward and backward) or `params`.
        source: the tool with its version, or the publication.
        theirs: what it states, `None` where it fails.
        ours: what archscope counts.
        tolerance: half of the last digit that is stated; 0 for exact figures.
        reasons: why they differ.
        disagreements: the layers where they differ, of tools that tell single layers.
        failure: what the tool raised.
        gap: operators without a formula, which make `ours` a lower bound, and where they ran.
    """

    quantity: str
    source: str
    theirs: int | None
    ours: int
    tolerance: float = 0.0
    reasons: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    failure: str = ""
    gap: str = ""

    @property
    def tool(self) -> str:
        """The source without the part of the publication."""
        return self.source.partition(",")[0]

    @property
    def passed(self) -> bool:
        """A known reason passes, and a tool that fails says nothing against the count."""
        return self.theirs is None or self.agrees or bool(self.reasons)

    @property
    def agrees(self) -> bool:
        return self.theirs is not None and abs(self.theirs - self.ours) <= self.tolerance

    @property
    def verdict(self) -> str:
        if self.theirs is None:
            return f"fails: {self.failure}"
        if self.agrees:
            if self.gap:
                return AS_FAR
            return "equal" if not self.tolerance else "equal as stated"
        return "; ".join(self.reasons) or UNKNOWN


@dataclass(frozen=True)
class Verification:
    """Everything that others say of one network.

    Args:
        model: as the user named it.
        input: what it was called with.
        figures: one a tool and quantity.
        notes: of archscope's own count, such as why it has no backward pass.
    """

    model: str
    input: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return all(figure.passed for figure in self.figures)


# JSON, for reports/


def dumps(found: Sequence[Verification], failures: Mapping[str, str], **facts: int | str) -> str:
    """Write verifications as JSON, one network a line.

    Args:
        found: one a network.
        failures: why the others cannot be counted, by name.
        facts: what else to tell, such as which networks were chosen.
    """
    entries = {**facts, "failures": dict(failures)}
    head = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
    lines = ",\n".join(json.dumps(asdict(one), ensure_ascii=False) for one in found)
    return f'{{{head},\n"verifications": [\n{lines}\n]}}\n'


def loads(text: str) -> tuple[list[Verification], dict[str, str]]:
    """Read what `dumps` wrote."""
    data = json.loads(text)
    return [read(entry) for entry in data["verifications"]], data["failures"]


def read(entry: Mapping[str, Any]) -> Verification:
    """What `asdict` made of a verification, before or after JSON."""
    figures = tuple(
        Figure(
            **{
                **figure,
                "reasons": tuple(figure["reasons"]),
                "disagreements": tuple(
                    Disagreement(**disagreement) for disagreement in figure["disagreements"]
                ),
            }
        )
        for figure in entry["figures"]
    )
    notes = tuple(entry.get("notes", ()))  # verifications saved before have none
    return Verification(entry["model"], entry["input"], figures, notes)
