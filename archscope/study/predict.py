"""Predictions → tables: the answer first, then where the time goes."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records import Prediction
from archscope.table import Column, Report, Row, Table

COLUMNS = (
    Column("model", "Model", "name"),
    Column("device", "Device", "text"),
    Column("seconds", "Predicted", "seconds"),
    Column("low_seconds", "80 % from", "seconds"),
    Column("high_seconds", "to", "seconds"),
    Column("samples_per_second", "Samples/s", "decimal"),
)


def predict_report(predictions: Sequence[Prediction]) -> Report:
    """One row a prediction."""
    rows = tuple(
        Row((p.model, p.device, p.seconds, p.low, p.high, p.samples_per_second))
        for p in predictions
    )
    first = predictions[0]
    title = (
        f"Predicted, not measured: {first.mode}, {first.dtype}, {first.layout}, "
        f"batch {first.input.batch}"
    )
    table = Table(title, COLUMNS, rows, (f"From {first.fitted_on}.",))
    return Report(title, (table,), record=first if len(predictions) == 1 else None)
