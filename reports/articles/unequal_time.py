"""Networks of equal MACs and unequal time, on other people's GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archscope.table import Column, Row, Table
from archscope.units import percent, ratio, seconds
from reports.data import Data
from reports.page import Page

MEASURED = (
    Column("device", "Device", "name"),
    Column("mode", "Mode", "text"),
    Column("precision", "Precision", "text"),
    Column("resnet50", "ResNet-50", "seconds"),
    Column("resnext50", "ResNeXt-50", "seconds"),
    Column("ratio", "÷ ResNet-50", "ratio"),
    Column("source", "Source", "text"),
)
PRECISIONS = {"amp": "AMP"}
SHOWN_KINDS = 6


def page(data: Data) -> Page:
    """Why is a network slower than another one of as many MACs?"""
    found = data.unequal_time
    return Page(
        slug="equal-macs-unequal-time",
        title="Equal MACs, unequal time",
        summary="the same MACs take 1.1 to 1.7 times as long: published times of ResNet-50 and "
        "ResNeXt-50, where the difference is by prediction, and how often MACs name the faster "
        "of two networks.",
        question="ResNeXt-50 (32×4d) has the MACs of ResNet-50 within 4 %.\n"
        "Is it slower on GPUs, by how much, and do MACs say which of two networks is faster?",
        blocks=(
            _measured(found["published"]),
            _kinds(found["predicted"]),
            _groups(found["groups"]),
            _pairs(found["pairs"]),
        ),
        findings=tuple(_findings(found)),
        commands=(
            "archscope predict resnet50 resnext50_32x4d --on rtx3090,rtx4090,h100 --batch 256 "
            "--layout nhwc",
            "archscope sweep-groups 1,2,4,8,32 --equal macs --batch 256 "
            "--predict rtx3090:nhwc,rtx4090:nhwc,h100:nhwc",
            "python benchmarks/prediction/unequal_time.py",
        ),
    )


def _ratio(row: Mapping[str, Any]) -> float:
    first, second = row["seconds_a_sample"]
    return float(second / first)


def published_ratios(rows: list[Mapping[str, Any]], on_gpus: bool) -> list[float]:
    """Time of ResNeXt-50 over that of ResNet-50 in every table, of GPUs or of CPUs."""
    return [_ratio(row) for row in rows if ("Intel" not in row["device"]) == on_gpus]


def _measured(rows: list[Mapping[str, Any]]) -> Table:
    cells = []
    for row in sorted(rows, key=lambda row: (row["device"], row["mode"], row["table"])):
        precision = PRECISIONS.get(row["dtype"], row["dtype"])
        layout = ", channels last" if row["layout"] == "nhwc" else ""
        compiled = ", compiled" if row["compiled"] else ""
        first, second = row["seconds_a_sample"]
        how = f"{precision}{layout}{compiled}; {row['software']}"
        cells.append(
            Row((row["device"], row["mode"], how, first, second, _ratio(row), row["source"]))
        )
    note = (
        "Measured by others, an image of 224×224 in seconds; the batch of a row is as large as "
        "its table has it, and may differ between the two networks where memory is short."
    )
    return Table("Published times of both networks", MEASURED, tuple(cells), (note,))


def _kinds(rows: list[Mapping[str, Any]]) -> Table:
    """Where the predicted time of each network goes, GPU by GPU."""
    places = list(dict.fromkeys(row["device"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    times = {(row["network"], row["device"]): row for row in rows}
    sums: dict[str, float] = {}
    for row in rows:
        for kind, taken in row["by_kind"].items():
            sums[kind] = sums.get(kind, 0.0) + taken
    shown = sorted(sums, key=lambda kind: -sums[kind])[:SHOWN_KINDS]
    columns = [Column("kind", "Layers", "name")] + [
        Column(f"{network} {place}", f"{network}, {place}", "seconds")
        for place in places
        for network in networks
    ]
    body = [
        Row((kind, *(times[n, p]["by_kind"].get(kind) for p in places for n in networks)))
        for kind in shown
    ]
    total = (times[n, p]["seconds"] for p in places for n in networks)
    note = (
        "Predicted, not measured: 256 images, AMP, channels last. A step also waits for the host, "
        "so its total may be more than the sum."
    )
    return Table(
        "Where the predicted time goes", tuple(columns),
        (*body, Row(("Step", *total), "total")), (note,),
    )  # fmt: skip


def _groups(rows: list[Mapping[str, Any]]) -> Table:
    places = list(dict.fromkeys(row["place"] for row in rows))
    counts = list(dict.fromkeys((row["groups"], row["width"], row["macs"]) for row in rows))
    times = {(row["groups"], row["place"]): row["seconds"] for row in rows}
    columns = [
        Column("groups", "Groups", "exact"), Column("width", "Width per group", "exact"),
        Column("macs", "MACs", "macs"),
        *(c for place in places for c in (
            Column(place, place, "seconds"), Column(f"{place} ratio", "×", "ratio"))),
    ]  # fmt: skip
    body = []
    for groups, width, macs in counts:
        cells = [(times[groups, p], times[groups, p] / times[counts[0][0], p]) for p in places]
        body.append(Row((groups, width, macs, *(value for pair in cells for value in pair))))
    note = "Predicted, not measured: 256 images, AMP, channels last; × compares with one group."
    return Table("ResNet-50 by group count at equal MACs", tuple(columns), tuple(body), (note,))


def _beside_published(rows: list[Mapping[str, Any]], device: str) -> str:
    """What was measured where the prediction is made."""
    same = [
        ratio(_ratio(row))
        for row in rows
        if (row["device"], row["mode"], row["dtype"], row["layout"], row["compiled"])
        == (device, "inference", "amp", "nhwc", False)
    ]
    return f" (published: {', '.join(dict.fromkeys(same))})" if same else " (none published)"


PAIRS = (
    Column("table", "Table", "name"),
    Column("pairs", "Pairs", "exact"),
    Column("macs", "MACs", "percent"),
    Column("bytes", "Bytes moved", "percent"),
    Column("prediction", "Prediction", "percent"),
)


def _pairs(rows: list[Mapping[str, Any]]) -> Table:
    body = [
        Row((row["table"], row["pairs"], *(row[key] / row["pairs"] for key in AMOUNTS)))
        for row in rows
    ]
    total = sum(row["pairs"] for row in rows)
    sums = (sum(row[key] for row in rows) / total for key in AMOUNTS)
    note = (
        "Pairs of networks of one table whose MACs agree within 10 % and whose times differ by "
        "more than 10 %: how often the smaller amount is the shorter time. Each network was "
        "predicted by coefficients fitted without its family."
    )
    return Table(
        "Which of two networks is faster", PAIRS,
        (*body, Row(("All", total, *sums), "total")), (note,),
    )  # fmt: skip


AMOUNTS = ("macs", "bytes", "prediction")


def _findings(found: Mapping[str, Any]) -> Iterator[str]:
    cpus, ratios = (published_ratios(found["published"], on_gpus) for on_gpus in (False, True))
    slower = sum(value > 1 for value in ratios)
    yield (
        f"ResNeXt-50 is slower in {slower} of {len(ratios)} published cells of GPU, precision and "
        f"mode: {ratio(min(ratios))} to {ratio(max(ratios))} the time of ResNet-50."
    )
    yield (
        f"That is of GPUs: on two CPUs, one image at a time and compiled, it takes "
        f"{ratio(min(cpus))} to {ratio(max(cpus))} of the time of ResNet-50."
    )
    times: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found["predicted"]:
        times.setdefault(row["device"], {})[row["network"]] = row
    said = [
        f"{ratio(second['seconds'] / first['seconds'])} on {device}"
        + _beside_published(found["published"], device)
        for device, (first, second) in ((d, tuple(pair.values())) for d, pair in times.items())
    ]
    yield f"For AMP, channels last, the model predicts {', '.join(said)}."
    first, second = next(iter(times.values())).values()
    more = {
        kind: value - first["by_kind"].get(kind, 0.0) for kind, value in second["by_kind"].items()
    }
    most = sorted(more, key=lambda kind: -more[kind])[:3]
    grown = ", ".join(f"{kind} {seconds(more[kind])}" for kind in most)
    yield (
        f"On {next(iter(times))} the time is in what surrounds the grouped convolutions: of 256 "
        f"images ResNeXt-50 takes longer in {grown}, for its activations are larger, while its "
        f"3×3 convolutions take {seconds(-more['3×3 conv'])} less."
    )
    pairs = found["pairs"]
    total = sum(row["pairs"] for row in pairs)
    shares = [percent(sum(row[key] for row in pairs) / total) for key in AMOUNTS]
    yield (
        f"Of {total:,} pairs of networks with like MACs and unlike times, MACs name the faster one "
        f"in {shares[0]}, bytes moved in {shares[1]}, the prediction in {shares[2]}."
    )
