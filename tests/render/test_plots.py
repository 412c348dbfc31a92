"""Charts become figures that show every number, name their units and come out the same."""

import dataclasses
import itertools
import random
import re
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure

from archscope.render import marks, palette
from archscope.render.palette import INK, PAPER, SERIES
from archscope.render.plots import adaptive_image, figure, grid, image
from archscope.table import Axis, Chart, Mark, Series

STAGES = ("stem", "stage 2", "stage 3", "stage 4", "stage 5")


def bars(kind: Any = "bars") -> Chart:
    return Chart(
        "Cost per stage",
        kind,
        Axis("Stage", "text"),
        Axis("MACs forward", "macs"),
        (
            Series("resnet50", STAGES, (118e6, 680e6, 1036e6, 1470e6, 811e6)),
            Series("resnext50_32x4d", STAGES, (118e6, 710e6, 1056e6, None, 831e6)),
        ),
    )


def cloud(count: int, seed: int = 0) -> Chart:
    chance = random.Random(seed)
    names = tuple(f"network_{'x' * chance.randrange(12)}{i}" for i in range(count))
    return Chart(
        "Accuracy against cost",
        "scatter",
        Axis("MACs forward", "macs", log=True),
        Axis("Top-1 accuracy", "percent"),
        (
            Series(
                "networks",
                tuple(10 ** chance.uniform(8, 10.5) for _ in range(count)),
                tuple(chance.uniform(0.55, 0.85) for _ in range(count)),
                names,
            ),
        ),
        frontier=names[:3],
    )


def axes_of(drawn: Figure, index: int = 0) -> Any:
    return drawn.get_axes()[index]


def texts_of(drawn: Figure) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in drawn.findobj(Text) if text.get_text().strip()]


def extents(drawn: Figure) -> list[Any]:
    renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
    return [text.get_window_extent(renderer) for text in axes_of(drawn).texts]


@pytest.mark.parametrize("count", [1, 10, 40, 80])
@pytest.mark.parametrize("sized", [False, True])
def test_no_point_label_covers_another(count: int, sized: bool) -> None:
    chart = cloud(count)
    if sized:
        (only,) = chart.series
        sizes = tuple(float(i + 1) for i in range(count))
        chart = Chart(
            chart.title, "scatter", chart.x, chart.y,
            (Series(only.name, only.x, only.y, only.labels, sizes),),
        )  # fmt: skip
    drawn = figure([chart])
    boxes = extents(drawn)
    assert 0 < len(boxes) <= count
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    if len(boxes) < count:
        assert (
            axes_of(drawn).get_title(loc="right")
            == f"{count - len(boxes)} of {count} names left out"
        )


def test_points_without_a_name_have_no_label_nor_leader_and_are_not_counted() -> None:
    chart = cloud(80)
    (only,) = chart.series
    names = ("first", *[""] * 78, "last")
    series = Series(only.name, only.x, only.y, names)
    axes = axes_of(figure([Chart(chart.title, "scatter", chart.x, chart.y, (series,))]))
    assert {text.get_text() for text in axes.texts} == {"first", "last"}
    assert len(axes.get_lines()) <= 2  # leaders
    assert not axes.get_title(loc="right").strip()


def test_bars_carry_every_value_side_by_side() -> None:
    axes = axes_of(figure([bars()]))
    heights = [[patch.get_height() for patch in group] for group in axes.containers]
    assert heights[0] == [118e6, 680e6, 1036e6, 1470e6, 811e6]
    assert heights[1][0] == 118e6 and heights[1][3] != heights[1][3]
    spans = sorted(
        (p.get_x(), p.get_x() + p.get_width()) for group in axes.containers for p in group
    )
    assert all(left[1] <= right[0] + 1e-9 for left, right in itertools.pairwise(spans))
    assert [text.get_text() for text in axes.get_xticklabels()] == list(STAGES)


def test_stacked_bars_add_up() -> None:
    axes = axes_of(figure([bars("stacked")]))
    lower, upper = axes.containers
    assert [p.get_y() for p in upper] == [p.get_height() for p in lower]


def test_stacked_areas_add_up() -> None:
    series = (Series("a", (0, 1, 2), (1, 2, 3)), Series("b", (0, 1, 2), (10, None, 30)))
    axes = axes_of(figure([Chart("t", "area", Axis("step"), Axis("live", "bytes"), series)]))
    lower, upper = axes.collections
    edge = {(x, y) for x, y in upper.get_paths()[0].vertices}
    assert edge >= {(0, 11), (1, 2), (2, 33)}
    assert lower.get_zorder() > upper.get_zorder()  # which reaches down to zero behind it


def test_an_area_has_no_points_where_it_stays_flat() -> None:
    flat = Series("flat", tuple(range(500)), (7,) * 500)
    axes = axes_of(figure([Chart("t", "area", Axis("step"), Axis("live", "bytes"), (flat,))]))
    assert len(axes.collections[0].get_paths()[0].vertices) < 12


def test_series_differ_without_color() -> None:
    fills = [(palette.SERIES[i % 8], marks.HATCHES[i % 7]) for i in range(56)]
    assert len(set(fills)) == 56
    groups = axes_of(figure([bars()])).containers
    assert len({group[0].get_hatch() for group in groups}) == 2
    line = Chart(
        "t",
        "line",
        Axis("x"),
        Axis("y"),
        (Series("a", (1, 2), (1, 2)), Series("b", (1, 2), (2, 1))),
    )
    first, second = axes_of(figure([line])).get_lines()
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()


def test_axes_name_their_unit() -> None:
    axes = axes_of(figure([bars()]))
    assert axes.get_ylabel() == "MACs forward" and axes.get_xlabel() == "Stage"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "500 M", "1 G", "1.5 G"]
    cost = Chart("t", "line", Axis("x"), Axis("Cost", "macs"), (Series("a", (1, 2), (1e9, 2e9)),))
    assert axes_of(figure([cost])).get_ylabel() == "Cost (MACs)"


def test_swept_values_are_the_ticks_of_a_log_axis() -> None:
    groups = (1.0, 2.0, 4.0, 8.0, 32.0)
    line = Chart(
        "t",
        "line",
        Axis("Groups", "exact", log=True),
        Axis("Ratio", "ratio"),
        (Series("a", groups, groups),),
    )
    axes = axes_of(figure([line]))
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4", "8", "32"]


def test_the_front_runs_through_its_points_only() -> None:
    chart = cloud(5)
    line = next(x for x in axes_of(figure([chart])).get_lines() if x.get_label() == "Pareto front")
    (only,) = chart.series
    named = {n: (x, y) for n, x, y in zip(only.labels, only.x, only.y, strict=True)}
    expected = sorted(named[name] for name in chart.frontier)
    assert [tuple(point) for point in line.get_xydata()] == expected


def test_reference_lines_have_no_markers() -> None:
    roof = Series("memory roof", (0.5, 12.0), (2e12, 49e12))
    points = (Series("conv", (1.0,), (1e12,)),)
    chart = Chart(
        "t",
        "scatter",
        Axis("x", log=True),
        Axis("y", "flops_per_second", log=True),
        points,
        lines=(roof,),
    )
    (line,) = axes_of(figure([chart])).get_lines()
    assert line.get_marker() == "None" and list(line.get_ydata()) == [2e12, 49e12]


def test_all_text_is_legible() -> None:
    from matplotlib.text import Text

    drawn = figure([bars(), cloud(10)])
    assert 6.4 <= drawn.get_figwidth() <= 7
    assert min(text.get_fontsize() for text in drawn.findobj(Text) if text.get_text()) >= 9  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_chart_gives_the_same_bytes(kind: str) -> None:
    assert image([bars(), cloud(12)], kind) == image([bars(), cloud(12)], kind)


def test_nothing_global_is_left_behind() -> None:
    import sys

    before = dict(matplotlib.rcParams)
    image([bars()], "png")
    assert dict(matplotlib.rcParams) == before
    assert "archscope.render.plots" in sys.modules


def test_hostile_texts_are_drawn_literally() -> None:
    names = ("$\\frac{", "_hidden", "a\nb", "<b>&", "日本😀", "$x$ and $y$", "", "x" * 300)
    series = tuple(Series(name, names, tuple(range(len(names)))) for name in names)
    for kind in ("bars", "stacked", "line", "scatter"):
        chart = Chart("$\\bad", kind, Axis("$x"), Axis("y\n"), series, notes=("$^", *names))
        drawn = figure([chart])
        assert r"a\nb" in texts_of(drawn)
        svg = image([chart], "svg").decode()
        assert not re.search(r"<b>|<script", re.sub(r"<!--.*?-->", "", svg))


@pytest.mark.parametrize("kind", ["bars", "stacked", "line", "scatter", "area"])
def test_charts_without_values_say_so(kind: Any) -> None:
    for series in ((), (Series("a", (1, 2), (None, None)),)):
        assert "no data" in texts_of(figure([Chart("t", kind, Axis("x"), Axis("y"), series)]))


def test_infinite_and_nonpositive_values_do_not_break_a_log_axis() -> None:
    series = (Series("a", (1, 2, 3, 4), (0.0, float("inf"), float("nan"), 10.0)),)
    image([Chart("t", "line", Axis("x"), Axis("y", log=True), series)], "png")


def test_many_long_categories_turn() -> None:
    names = tuple(f"a_rather_long_network_name_{i}" for i in range(12))
    chart = Chart("t", "bars", Axis("x"), Axis("y"), (Series("a", names, tuple(range(12))),))
    assert {text.get_rotation() for text in axes_of(figure([chart])).get_xticklabels()} == {35}


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_an_image_is_of_the_kind_asked_for(kind: str, start: bytes) -> None:
    assert image([bars()], kind).startswith(start)


def test_times_begin_at_zero_and_leave_room_above() -> None:
    """Two charts of times are compared by eye, whatever the spread of each."""
    points = Series("net", (1.0, 2.0, 4.0), (0.100, 0.095, 0.110))
    chart = Chart("t", "line", Axis("Groups", "exact"), Axis("Forward time", "seconds"), (points,))
    low, high = axes_of(figure([chart])).get_ylim()
    assert low == 0 and high > 0.114


def line(unit: Any, *heights: float, **axis: Any) -> Chart:
    points = Series("net", tuple(range(1, len(heights) + 1)), heights)
    return Chart("t", "line", Axis("x"), Axis("y", unit, **axis), (points,))


@pytest.mark.parametrize("unit", ["macs", "count", "exact", "bytes", "seconds"])
def test_heights_that_are_amounts_begin_at_zero(unit: Any) -> None:
    low, high = axes_of(figure([line(unit, 100.0, 95.0, 98.0)])).get_ylim()
    assert low == 0 and high > 100


def strokes(drawn: Figure) -> int:
    """How many marks of a broken axis there are."""
    return sum(isinstance(line.get_marker(), list) for line in axes_of(drawn).get_lines())


def test_an_axis_that_does_not_begin_at_zero_is_broken() -> None:
    near = Series("nets", (4.09e9, 4.23e9), (0.809, 0.812), ("a", "b"))
    far = Series("nets", (0.0, 4.23e9), (0.0, 0.8), ("a", "b"))
    axes = Axis("MACs", "macs"), Axis("top-1", "percent")
    assert strokes(figure([Chart("t", "scatter", *axes, (near,))])) == 2
    assert strokes(figure([Chart("t", "scatter", *axes, (far,))])) == 0
    assert strokes(figure([line("decimal", 10.0, 11.0)])) == 0  # no amount: it has no zero


def test_intervals_have_whiskers() -> None:
    series = Series("net", ("step", "inference"), (4.0, 1.0), errors=((3.5, 5.0), None))
    axes = axes_of(figure([Chart("t", "bars", Axis("", "text"), Axis("y", "seconds"), (series,))]))
    (whisker,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert sorted(y for _, y in whisker.get_segments()[0]) == [3.5, 5.0]
    assert axes.get_ylim()[1] > 5.0


def test_rows_of_an_image_run_downwards() -> None:
    low, high = axes_of(figure([line("decimal", 1.0, 9.0, downwards=True)])).get_ylim()
    assert low > high


def test_named_places_stand_inside_the_chart() -> None:
    areas = Series("Parameters", (1, 2, 3), (10, 40, 20))
    chart = Chart(
        "t", "area", Axis("x", "count"), Axis("y", "bytes"), (areas,),
        marks=(Mark("forward", 1), Mark("backward", 2), Mark("peak 40 B", 2, 40)),
    )  # fmt: skip
    axes = axes_of(figure([chart]))
    assert [text.get_text().strip() for text in axes.texts] == ["forward", "backward", "peak 40 B"]
    dashed = [ln.get_xdata()[0] for ln in axes.get_lines() if ln.get_linestyle() == "--"]
    assert dashed == [1, 2]


def test_a_meaning_has_its_colour_wherever_it_stands() -> None:
    def color(*names: str) -> Any:
        series = tuple(Series(name, ("a",), (1.0,)) for name in names)
        axes = axes_of(figure([Chart("t", "stacked", Axis("x"), Axis("y"), series)]))
        index = names.index("backward")
        return axes.containers[index][0].get_facecolor()

    assert color("forward", "backward") == color("backward") == color("a", "b", "backward")


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (4, (2, 2)), (7, (3, 3))]
)
def test_several_charts_stand_in_a_grid(count: int, shape: tuple[int, int]) -> None:
    assert grid(count) == shape
    drawn = figure([bars()] * count)
    assert len(drawn.get_axes()) == count
    assert drawn.get_figwidth() == pytest.approx(6.8 * shape[1])


def test_a_size_is_that_of_each_chart_and_leaves_its_caption_to_the_paper() -> None:
    chart = dataclasses.replace(bars(), notes=("A note.",))
    drawn = figure([chart, chart], (3.3, 2.4))
    assert tuple(drawn.get_size_inches()) == (3.3, 4.8)
    assert "A note." in texts_of(figure([chart])) and "A note." not in texts_of(drawn)
    assert min(text.get_fontsize() for text in axes_of(drawn).get_xticklabels()) >= 6.5


def test_the_last_of_three_sized_charts_is_in_the_middle() -> None:
    first, second, last = (
        axes.get_window_extent() for axes in figure([bars()] * 3, (3.3, 2.4)).axes
    )
    assert last.x0 == pytest.approx((first.x0 + second.x0) / 2, abs=3)


def test_a_long_title_of_the_heights_stays_beside_its_axis() -> None:
    chart = dataclasses.replace(bars(), y=Axis("squared channel mean of activations", "count"))
    axes = axes_of(figure([chart], (3.3, 1.8)))
    label = axes.yaxis.label
    assert " ".join(label.get_text().split()) == chart.y.title
    assert label.get_window_extent().height <= axes.get_window_extent().height


def test_ticks_below_nothing_have_a_minus() -> None:
    line = Series("a", (1, 2), (-100.0, 50.0))
    axes = axes_of(figure([Chart("t", "line", Axis("x"), Axis("y", "decimal"), (line,))]))
    assert "−100" in [text.get_text() for text in axes.get_yticklabels()]


def test_an_image_for_a_page_has_both_colours_of_everything() -> None:
    svg = adaptive_image(bars())
    light, dark = re.findall(r":root\{(.*?)\}", svg)
    for made, place in ((light, 0), (dark, 1)):
        for color in (PAPER, INK, SERIES[0]):
            assert re.search(rf"--c\d+:{color[place]};", made)
    drawn = svg[svg.index("</style>") :]
    assert not re.search(r"#[0-9a-f]{6}", drawn)  # no colour that is the same on both
    assert not re.search(r'(?<!style)="var', drawn)  # attributes of SVG take no var()


def test_a_last_row_that_is_not_full_leaves_no_gap() -> None:
    drawn = figure([bars()] * 3)
    first, second, last = (axes.bbox for axes in drawn.get_axes())
    assert last.x0 == pytest.approx(first.x0, abs=20)  # pixels: labels of the axes may differ
    assert last.x1 == pytest.approx(second.x1, abs=20)


def test_stacked_bars_leave_room_above_where_the_last_is_empty() -> None:
    parts = (Series("forward", ("a",), (1.0,)), Series("backward", ("a",), (2.0,)),
             Series("other", ("a",), (0.0,)))  # fmt: skip
    chart = dataclasses.replace(bars(), kind="stacked", series=parts)
    assert axes_of(figure([chart])).get_ylim()[1] > 3.0
