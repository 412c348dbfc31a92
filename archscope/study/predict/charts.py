"""Figures of predictions: how long each takes, or where the time of one goes."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records import Prediction
from archscope.study.predict.answer import heading, name, place
from archscope.study.predict.tables import stage_sums
from archscope.table import Axis, Chart, Series

NOT_MEASURED = "Predicted, not measured."
INTERVALS = f"Whiskers: 80 % interval. {NOT_MEASURED}"
SECONDS = Axis("Predicted time of a step", "seconds")


def charts(predictions: Sequence[Prediction]) -> tuple[Chart, ...]:
    """Times side by side; of a single prediction its stages."""
    if len(predictions) > 1:
        return (times_chart(predictions),)
    return (stages_chart(predictions[0]),)


def times_chart(predictions: Sequence[Prediction]) -> Chart:
    """A group of bars a device, or a network where there is one device, with the intervals."""
    devices = tuple(dict.fromkeys(p.short_device for p in predictions))
    names = tuple(dict.fromkeys(map(name, predictions)))
    found = {(name(p), p.short_device): p for p in predictions}
    places = names if len(devices) == 1 else devices
    series = []
    for label in devices if len(devices) == 1 else names:
        row = [found[one, label] if len(devices) == 1 else found[label, one] for one in places]
        heights = tuple(p.seconds for p in row)
        errors = tuple((p.low, p.high) for p in row)
        series.append(Series(label, places, heights, errors=errors))
    return Chart(
        f"Predicted time of {heading(predictions)}", "bars", Axis("", "text"), SECONDS,
        tuple(series), notes=(INTERVALS,), name="predicted_time",
    )  # fmt: skip


def stages_chart(prediction: Prediction) -> Chart:
    """Its time by the network's own children, in order."""
    sums = stage_sums(prediction)
    series = Series(name(prediction), tuple(sums), tuple(row[0] for row in sums.values()))
    return Chart(
        f"Predicted time of {name(prediction)} on {place(prediction)}", "bars",
        Axis("", "text"), SECONDS, (series,), notes=(NOT_MEASURED,),
        name="predicted_time_by_stage",
    )  # fmt: skip
