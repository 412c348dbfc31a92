"""What was solved for equal cost, as a table."""

from __future__ import annotations

from archscope.ask.match import Solved
from archscope.table import Column, Row, Table

MATCH_COLUMNS = (
    Column("model", "Model", "name"),
    Column("keyword", "Keyword", "name"),
    Column("solution", "Solution", "exact"),
    Column("total", "Total", "exact"),
    Column("target", "Target", "exact", 2),
    Column("difference", "Difference", "exact"),
    Column("relative_difference", "of target", "percent", 1),
)


def match_tables(solved: Solved | None) -> tuple[Table, ...]:
    """What was solved for, a network a row; nothing where nothing was."""
    if solved is None:
        return ()
    rows = tuple(
        Row((model, keyword, s.value, s.total, s.target, s.difference.amount, s.difference.share))
        for model, keyword, s in solved.solutions
    )
    notes = tuple(
        f"{model} can be built with no other {keyword} near it: {solution.refusal}."
        for model, keyword, solution in solved.solutions
        if solution.refusal
    )
    title = f"Solved for the {solved.quantity.word} of {solved.reference}"
    return (Table(title, MATCH_COLUMNS, rows, notes),)
