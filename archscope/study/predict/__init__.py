"""Predictions → tables: the answer first, then where the time goes and why."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.predict import Explained
from archscope.records import Prediction
from archscope.study.predict.answer import answer, heading
from archscope.study.predict.arithmetic import derivations
from archscope.study.predict.charts import charts
from archscope.study.predict.tables import (
    comparison_table,
    kinds_table,
    layers_data,
    layers_table,
    passes_table,
    stages_table,
)
from archscope.table import Report


def predict_report(predictions: Sequence[Prediction]) -> Report:
    """What is predicted, and for a single network where its time goes.

    Args:
        predictions: of one or several networks on one or several devices.
    """
    title, said = heading(predictions), answer(predictions)
    figures = charts(predictions)
    first = predictions[0]
    if len(predictions) == 1:
        passes = (passes_table(first),) if first.mode == "training" else ()
        parts = (*passes, stages_table(first), layers_table(first))
        table = comparison_table(title, predictions)
        return Report(
            title, (table, *parts), figures, record=first, data=layers_data(first), answer=said
        )
    table = comparison_table(title, predictions)
    return Report(title, (table, kinds_table(predictions)), figures, data=table, answer=said)


def arithmetic_report(found: Explained) -> Report:
    """The arithmetic of some layers, below the answer.

    Args:
        found: their kernels, with the prediction of the network.
    """
    title = heading([found.prediction])
    table = comparison_table(title, [found.prediction])
    steps = derivations(found.kernels, found.rates)
    said = answer([found.prediction])
    return Report(title, (table,), derivations=steps, record=found.prediction, answer=said)
