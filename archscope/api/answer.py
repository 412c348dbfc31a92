"""What the functions of the API return: a record that prints, shows, converts and saves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from archscope.api.spelling import RESULTS_HERE
from archscope.errors import ArchscopeError
from archscope.files import noting_reads
from archscope.parameters import in_python
from archscope.records import Analysis, Coverage, Layer, Prediction, Totals
from archscope.table import Report

if TYPE_CHECKING:
    import pandas


Record = TypeVar("Record", covariant=True)
Given = ParamSpec("Given")
Result = TypeVar("Result", bound="Answer[Any]")


def remembering(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let what a function returns know the files that it was read from, and never replace one."""

    @wraps(function)
    def answered(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with noting_reads() as read:
            answer = function(*args, **kwargs)
        answer._read = read
        return answer

    return answered


def texts_of(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The paths that `save` was given, as text.

    Raises:
        ArchscopeError: one that is no path, such as a list of them.
    """
    for path in paths:
        kind = type(path).__name__
        if isinstance(path, (list, tuple, set)):
            remedy = f"write save({', '.join(repr(str(each)) for each in path)})"
            raise ArchscopeError(f"save({path!r})", f"takes paths, not a {kind}", remedy)
        if not isinstance(path, (str, os.PathLike)):
            remedy = "write one like save('net.csv')"
            raise ArchscopeError(f"save({path!r})", f"takes paths, not {kind}", remedy)
    return [os.fspath(path) for path in paths]


class Answer(Generic[Record]):
    """An answer: a record, and its tables, which are made when they are first looked at.

    `print` shows the tables, a notebook shows them with their figures, `repr` is one line.

    Args:
        record: what was counted, predicted or measured.
        made: makes the tables and figures.
    """

    def __init__(self, record: Record, made: Callable[[], Report]) -> None:
        self.record = record
        self._made = made
        self._read: set[Path] = set()

    @cached_property
    def report(self) -> Report:
        """Tables, figures and the record behind them."""
        return self._made().worded(in_python)

    def to_frame(self) -> pandas.DataFrame:
        """The plain rows: one a layer, a model or a point, with units in the column names.

        Examples:
            >>> frame = archscope.summary("lenet").to_frame()
            >>> int(frame["params"].sum())
            61706
        """
        import pandas

        table = self.report.data or self.report.tables[0]
        keys = [column.key for column in table.columns]
        frame: pandas.DataFrame = pandas.DataFrame(table.records(), columns=keys)
        frame.attrs["title"] = table.title
        return frame

    def save(
        self,
        *paths: str | os.PathLike[str],
        chart: str | None = None,
        size: tuple[float, float] | None = None,
    ) -> None:
        """Write files; the suffix of each picks its format, as with `-o`.

        Args:
            paths: such as `"net.json"`, `"net.html"`, `"net.pdf"`.
            chart: name of the only figure to draw; a wrong one lists those there are.
            size: width and height of each figure in inches.

        Raises:
            ArchscopeError: what is not a path, an unknown suffix, a file that cannot be written, or
                one that the answer was read from; no figure of this name, a size that none has, or
                either without an image among the files.

        Examples:
            >>> pair = archscope.compare("resnet18", "resnet34")
            >>> pair.save("pair.csv", "pair.pdf", chart="parameters", size=(3.3, 2.4))
        """
        from archscope.formats import Drawn
        from archscope.output import Outputs, write

        outputs = Outputs(texts_of(paths)).drawn_as(Drawn(chart, size))
        with noting_reads(self._read):
            write(self.report, outputs)

    def __str__(self) -> str:
        from archscope.output import Screen, printed

        return printed(self.report, Screen.of(sys.stdout)).rstrip("\n")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.report.title}>"

    def _repr_html_(self) -> str:
        from archscope.render.notebook import cell_html

        return cell_html(self.report)

    if not TYPE_CHECKING:  # where it is seen, every attribute would be one

        def __getattr__(self, name: str) -> Any:
            """Say where a result is that is not an attribute."""
            problem = f"{type(self).__name__!r} object has no attribute {name!r}"
            place = "" if name.startswith("_") else self._place_of(name)
            raise AttributeError(
                f"{problem}; write .{place}" if place else problem, name=name, obj=self
            )

    def _place_of(self, name: str) -> str:
        """The attribute that has what is asked for under another name; empty where none is."""
        record, place = self.__dict__.get("record"), "record"
        if isinstance(record, tuple) and record:
            record, place = record[0], "record[0]"
        inside = ((getattr(record, part, None), f"{place}.{part}") for part in ("total", "peak"))
        for holder, where in ((record, place), *inside):
            if hasattr(holder, name):
                return f"{where}.{name}"
        return ""


class Summary(Answer[Analysis]):
    """What a network costs."""

    @property
    def analysis(self) -> Analysis:
        """The record: every call of every module, in execution order."""
        return self.record

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that compute, in execution order."""
        return self.record.layers

    @property
    def total(self) -> Totals:
        """Sums over all layers."""
        return self.record.total

    @property
    def coverage(self) -> Coverage:
        """Which operators the count knows."""
        return self.record.coverage

    def __getitem__(self, name: object) -> NoReturn:
        """Say where the layers are: a name may have several, one for each call."""
        found = f"[layer for layer in answer.layers if layer.name == {name!r}]"
        raise TypeError(f"'Summary' object is not subscriptable; write {found}")

    def _place_of(self, name: str) -> str:
        found = RESULTS_HERE.get(name, "")
        return found or super()._place_of(name).replace("record.total.", "total.")

    def __repr__(self) -> str:
        total = self.total
        return f"<Summary: {self.record.model}, {total.params:,} parameters, {total.macs:,} MACs>"


class Predicted(Answer[Prediction]):
    """A predicted time; the `Prediction` is its `record`."""

    @property
    def seconds(self) -> float:
        """Seconds a step."""
        return self.record.seconds

    @property
    def interval(self) -> tuple[float, float]:
        """The 80 % interval of the seconds a step."""
        return self.record.low, self.record.high

    @property
    def samples_per_second(self) -> float:
        """Samples of the batch a second."""
        return self.record.samples_per_second


class Checks(Answer[Record]):
    """Verdicts of a check.

    Args:
        record: every verdict.
        made: makes the tables.
        passed: whether all of them are good.
    """

    def __init__(self, record: Record, made: Callable[[], Report], passed: bool) -> None:
        super().__init__(record, made)
        self.passed = passed

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'passed' if self.passed else 'failed'}>"
