"""Table and Chart: all that a renderer may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from archscope.diagram import Diagram, Icicle
from archscope.page import Page

Cell = int | float | str | bool | None
"""One value, unformatted; `None` is unknown or not applicable and prints as an en dash."""

Unit = Literal[
    "text", "name", "count", "exact", "bytes", "seconds", "percent", "ratio", "decimal", "bar",
    "macs", "flops_per_second", "bytes_per_second",
]  # fmt: skip
"""How a column's values read.

`count` and `macs` take an SI prefix, `exact` is a whole number with thousands separators,
`percent`, `ratio` and `bar` hold fractions (0.25 is 25 %, 0.250×, a quarter-full bar).
CSV, JSON and frames always get the plain value.
"""

RowKind = Literal["row", "group", "total", "note", "best", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Column:
    """A heading with the unit of the cells below it.

    Args:
        key: name in CSV headers and frames, `snake_case`, with a unit suffix where one applies.
        title: heading for people.
        unit: how cells are written.
        priority: on a narrow terminal columns go from the highest number down; 0 always stays.
        signed: its numbers are changes, and show `+` or `−`.
        note: what it means, below a table that shows it.
    """

    key: str
    title: str
    unit: Unit = "text"
    priority: int = 0
    signed: bool = False
    note: str = ""

    @property
    def numeric(self) -> bool:
        return self.unit not in ("text", "name", "bar")


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in column order.

    Args:
        cells: one value a column.
        kind: `group` rows are subtotals of the rows below them, `total` closes a table; `added` and
            `removed` rows are changes from one version to the next.
        depth: indentation of the first column, for trees.
        lower_bound: column keys whose value is a lower bound and prints with `≥`.
        best: column keys whose value is the best of its comparison.
        unit: of its cells under `decimal` columns, where every row is another quantity.
        times: of how many equal things its cells are the sums.
        failed: whether it says that a check fails.
    """

    cells: tuple[Cell, ...]
    kind: RowKind = "row"
    depth: int = 0
    lower_bound: frozenset[str] = frozenset()
    best: frozenset[str] = frozenset()
    unit: Unit | None = None
    times: int = 1
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under titled columns, with the notes that make them readable alone.

    Args:
        title: one line above the table.
        columns: at least one.
        rows: each with as many cells as there are columns.
        notes: sentences below the table (conventions, coverage, sources).
        chooser: the parameter that chooses its columns, said where a terminal leaves some out.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    chooser: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"{self.title!r}: {len(row.cells)} cells under {len(self.columns)} columns"
                )

    def worded(self, wording: Callable[[str], str]) -> Table:
        """The same table, the parameters in its notes written by a function of `parameters`."""
        return replace(self, notes=tuple(map(wording, self.notes)), chooser=wording(self.chooser))

    def column(self, key: str) -> list[Cell]:
        """All cells under one key, in row order."""
        index = [column.key for column in self.columns].index(key)
        return [row.cells[index] for row in self.rows]

    def records(self) -> list[dict[str, Cell]]:
        """One mapping of key to plain value a row, for frames and JSON."""
        keys = [column.key for column in self.columns]
        return [dict(zip(keys, row.cells, strict=True)) for row in self.rows]

    def select(self, keys: Sequence[str]) -> Table:
        """The same rows under the named columns, in that order."""
        order = [column.key for column in self.columns]
        picked = [order.index(key) for key in keys]
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in picked)) for row in self.rows)
        return Table(self.title, tuple(self.columns[i] for i in picked), rows, self.notes)


@dataclass(frozen=True, slots=True)
class Series:
    """One named line, bar set or cloud of points.

    Args:
        name: legend entry.
        x: positions (numbers) or categories (text).
        y: values, in the chart's y unit; `None` leaves a gap.
        labels: one text a point, or empty.
        sizes: one area a point for bubbles, or empty.
        errors: lower and upper end of each value's interval, `None` where it is unknown, or empty.
    """

    name: str
    x: tuple[float | str, ...]
    y: tuple[float | None, ...]
    labels: tuple[str, ...] = ()
    sizes: tuple[float, ...] = ()
    errors: tuple[tuple[float, float] | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """One side of a chart.

    Args:
        title: for people.
        unit: how its values read.
        log: whether equal ratios are equally long.
        downwards: whether values rise downwards, as the rows of an image do.
    """

    title: str
    unit: Unit = "decimal"
    log: bool = False
    downwards: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a chart that has a name.

    Args:
        label: what is there.
        x: along the axis; where something begins when `y` is `None`.
        y: height of a point.
    """

    label: str
    x: float
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What a figure shows, without how it looks.

    Args:
        kind: `bars` are grouped, `stacked` bars add up, `scatter` may carry `frontier`.
        frontier: names of the points on the Pareto front, drawn as a line through them.
        lines: reference lines (roofs) as series drawn without markers.
        to_scale: one unit is as long along y as along x.
        name: what `--chart` calls it, `snake_case`.
        marks: named places, such as the peak.
    """

    title: str
    kind: Literal["bars", "stacked", "line", "scatter", "area"]
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    frontier: tuple[str, ...] = ()
    lines: tuple[Series, ...] = field(default=())
    notes: tuple[str, ...] = ()
    to_scale: bool = False
    name: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an argument.

    Args:
        label: what is found: `Output height`, `Parameters`.
        text: a sentence, or a formula such as `⌊(28 + 2·2 − 5)/1⌋ + 1 = 28`.
        kind: how the text is to be read.
    """

    label: str
    text: str
    kind: Literal["formula", "prose"] = "formula"


@dataclass(frozen=True, slots=True)
class Derivation:
    """How the numbers of one thing come about, line by line."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What one command says: printed as tables, saved in any format.

    Args:
        title: heads the file when there are several tables.
        record: the Analysis, Profile or the like that `-o run.json` saves in place of the tables.
        data: plain rows that `-o rows.csv` gets in place of folded or subtotalled tables.
        derivations: arithmetic written out, above the tables.
        page: makes what `-o page.html` explores, which may take a run of the network.
        drawing: makes what an image shows in place of charts.
        answer: a sentence above the tables, where no table's title is the answer.
        failed: whether the answer is that a check fails.
        exports: by suffix (`.speedscope.json`), what makes the content of another program's file.
    """

    title: str
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()
    record: object | None = None
    data: Table | None = None
    derivations: tuple[Derivation, ...] = ()
    page: Callable[[], Page] | None = None
    drawing: Callable[[], Diagram | Icicle] | None = None
    answer: str = ""
    failed: bool = False
    exports: Mapping[str, Callable[[], Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def has_figure(self) -> bool:
        """Whether it can be an image."""
        return bool(self.charts) or self.drawing is not None

    def worded(self, wording: Callable[[str], str]) -> Report:
        """The same report, the parameters in its notes written by a function of `parameters`."""
        tables = tuple(table.worded(wording) for table in self.tables)
        data = None if self.data is None else self.data.worded(wording)
        return replace(self, tables=tables, data=data, answer=wording(self.answer))
