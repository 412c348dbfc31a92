"""Two traces of one network side by side: two GPUs, two releases, eager and compiled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archscope.records import LayerTime, Profile
from archscope.study.profile.stages import shared_stage_times
from archscope.study.trace import answer, attributed, step_seconds
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.units import plural
from archscope.units import seconds as text_of
from archscope.wording import layer_labels

MOST_LAYERS = 20

Key = tuple[bool, str, int]


def compare_report(
    profiles: Sequence[Profile], labels: Sequence[str], *, every_layer: bool = False
) -> Report:
    """Where the second step takes longer than the first, and where it does not.

    Args:
        profiles: two, made from traces of the same network.
        labels: what to call them.
        every_layer: list every layer instead of those that differ most.
    """
    stages = [{_key(stage): stage for stage in found} for found in shared_stage_times(profiles)]
    title = f"Stages of {profiles[0].model}"
    by_stage = _table(title, "Stage", labels, stages, None)
    notes = (
        f"Ratio: {labels[1]} by {labels[0]}.",
        *(f"{answer(profile)}. {attributed(profile)}" for profile in profiles),
    )
    layers = [{_key(row): row for row in profile.layers} for profile in profiles]
    most = None if every_layer else MOST_LAYERS
    by_layer = _table(
        f"Layers of {profiles[0].model}, by their difference", "Layer", labels, layers, most
    )
    return Report(
        title=f"{labels[0]} · {labels[1]}",
        tables=(Table(by_stage.title, by_stage.columns, by_stage.rows, notes), by_layer),
        charts=(_chart(stages, labels, profiles[0].model),),
        data=_table(by_layer.title, "Layer", labels, layers, None),
        answer=_answer(profiles, labels),
    )


def _key(row: LayerTime) -> Key:
    return row.in_network, row.name, row.call


def _answer(profiles: Sequence[Profile], labels: Sequence[str]) -> str:
    before, after = map(step_seconds, profiles)
    what = f"{text_of(after)} a step against {text_of(before)}"
    return f"{what}: {labels[1]} takes {after / before:.3g} times as long as {labels[0]}."


def _table(
    title: str,
    first: str,
    labels: Sequence[str],
    rows: Sequence[Mapping[Key, LayerTime]],
    most: int | None,
) -> Table:
    before, after = rows
    keys = list({**before, **after})
    total = _sum(after.values()) - _sum(before.values())
    order = keys
    if most is not None and len(keys) > most:
        chosen = sorted(keys, key=lambda key: -abs(_difference(key, before, after)))[:most]
        order = [key for key in keys if key in chosen]
    names = layer_labels(name for inside, name, _ in keys if inside)
    shown = [
        Row((names[key[1]] if key[0] else key[1], *_cells([key], before, after, total)))
        for key in order
    ]
    rest = [key for key in keys if key not in order]
    if rest:
        cells = _cells(rest, before, after, total)
        shown.append(Row((plural(len(rest), "other row"), *cells), kind="note"))
    shown.append(Row(("step", *_cells(keys, before, after, total)), kind="total"))
    columns = (
        Column("name", first, "name"),
        Column("before_seconds", labels[0], "seconds"),
        Column("after_seconds", labels[1], "seconds"),
        Column("ratio", "Ratio", "ratio"),
        Column("difference_seconds", "Difference", "seconds"),
        Column("difference_share", "Share of it", "percent", 2),
    )
    return Table(title, columns, tuple(shown))


def _cells(
    keys: Sequence[Key],
    before: Mapping[Key, LayerTime],
    after: Mapping[Key, LayerTime],
    total: float,
) -> tuple[Cell, ...]:
    """Seconds of both, their ratio, their difference, and its share of that of the step."""
    one = _sum(before[key] for key in keys if key in before)
    two = _sum(after[key] for key in keys if key in after)
    has_one, has_two = any(k in before for k in keys), any(k in after for k in keys)
    return (
        one if has_one else None,
        two if has_two else None,
        two / one if has_one and has_two and one > 0 else None,
        two - one,
        (two - one) / total if total else None,
    )


def _sum(rows: Iterable[LayerTime]) -> float:
    return sum(row.total_seconds for row in rows)


def _difference(key: Key, before: Mapping[Key, LayerTime], after: Mapping[Key, LayerTime]) -> float:
    return _sum(rows[key] for rows in (after,) if key in rows) - _sum(
        rows[key] for rows in (before,) if key in rows
    )


def _chart(stages: Sequence[Mapping[Key, LayerTime]], labels: Sequence[str], model: str) -> Chart:
    keys = list({**stages[0], **stages[1]})
    names = tuple(name for _, name, _ in keys)
    series = tuple(
        Series(label, names, tuple(max(0.0, _sum([s[k]])) if k in s else None for k in keys))
        for label, s in zip(labels, stages, strict=True)
    )
    title = f"Time by stage of {model}"
    return Chart(title, "bars", Axis("stage", "text"), Axis("time", "seconds"), series)
