"""The Python API: what the command line does, with results that print, show and convert."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archscope.records import Analysis, Coverage, Layer, Totals
from archscope.study.analyse import analyse
from archscope.study.summary import layers_table, summary_report
from archscope.table import Report

if TYPE_CHECKING:
    import pandas

__all__ = ["Summary", "summary"]


class Summary:
    """What a network costs; prints as a table and shows in a notebook.

    Args:
        analysis: the record behind it, which `archscope.archive.dumps` saves.
    """

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that compute, in execution order."""
        return self.analysis.layers

    @property
    def total(self) -> Totals:
        """Sums over all layers."""
        return self.analysis.total

    @property
    def coverage(self) -> Coverage:
        """Which operators the count knows."""
        return self.analysis.coverage

    def to_frame(self) -> pandas.DataFrame:
        """One row a layer, plain numbers, units in the column names."""
        import pandas

        table = layers_table(self.analysis)
        keys = [column.key for column in table.columns]
        frame: pandas.DataFrame = pandas.DataFrame(table.records(), columns=keys)
        frame.attrs["title"] = table.title
        return frame

    def report(self, **options: Any) -> Report:
        """The report that the command line prints; options of `summary_report`."""
        return summary_report(self.analysis, **options)

    def __str__(self) -> str:
        from archscope.cli.output import Screen
        from archscope.render.text import terminal

        return terminal(self.report().tables[0], Screen.of(sys.stdout).width).rstrip("\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from archscope.render.html import html_fragment

        return html_fragment(self.report().tables[0])


def summary(
    model: Any,
    input: Any = None,
    backward: bool = False,
    *,
    batch: int | None = None,
    train: bool = False,
    train_only: str | None = None,
    **constructor_keywords: Any,
) -> Summary:
    """Count what a network costs, layer by layer.

    Args:
        model: a name (`"resnet50"`, `"timm:convnext_tiny"`, `"nets.py:Net"`), an `nn.Module`, a
            class or function that makes one, or a saved record (`"run.json"`).
        input: a specification without the batch (`"3x224x224"`, `"ids=128:int64"`), a tensor, a
            tuple of positional arguments, or a dictionary of keyword arguments.
        backward: also count the backward pass.
        batch: batch size of a specification, 1 by default.
        train: run in training mode instead of evaluation mode.
        train_only: glob of the parameter or module names that stay trainable.
        constructor_keywords: passed to the constructor of a named network or a class.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input.

    Example:
        >>> archscope.summary("resnet50").total.macs
        4089184256
    """
    keywords: Mapping[str, Any] = constructor_keywords
    return Summary(
        analyse(
            model,
            input=input,
            batch=batch,
            backward=backward,
            train=train,
            train_only=train_only,
            keywords=keywords,
        )
    )
