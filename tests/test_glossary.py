"""The glossary explains every column that a table can have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from archscope import quantities
from archscope.quantities import Quantity

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8")
ENTRIES = "\n".join(line for line in GLOSSARY.splitlines() if line.startswith("**"))


def literal_columns() -> Iterator[tuple[str, str]]:
    """Key and heading of each column that a table's code writes out."""
    for path in sorted((ROOT / "archscope/study").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Column":
                key, heading, *_ = [*node.args, None, None]
                if isinstance(key, ast.Constant):
                    yield key.value, heading.value if isinstance(heading, ast.Constant) else ""


COLUMNS = sorted(set(literal_columns()))
QUANTITIES = [value for value in vars(quantities).values() if isinstance(value, Quantity)]


def test_the_columns_are_found() -> None:
    assert ("saved_bytes", "Saved") in COLUMNS
    assert len(QUANTITIES) > 15


@pytest.mark.parametrize("key, heading", COLUMNS)
def test_a_column_is_explained(key: str, heading: str) -> None:
    assert f"`{key}`" in ENTRIES
    assert not heading or f"**{heading}**" in ENTRIES


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.key)
def test_a_quantity_is_explained(quantity: Quantity) -> None:
    assert f"`{quantity.key}`" in ENTRIES
    assert f"**{quantity.heading}**" in ENTRIES or quantity.heading == "Predicted"


def test_no_entry_is_of_a_column_that_is_gone() -> None:
    files = [*(ROOT / "archscope/study").rglob("*.py"), ROOT / "archscope/quantities.py"]
    words = set(re.findall(r"\w+", " ".join(path.read_text(encoding="utf-8") for path in files)))
    assert [key for key in re.findall(r"`(\w+)`", ENTRIES) if key not in words] == []
