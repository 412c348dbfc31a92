"""Receptive fields as a table, over the image, and as a column of the summary."""

import pytest
from torch import nn

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.receptive_field import receptive_fields
from archscope.ask.target import network_target, target
from archscope.errors import ArchscopeError
from archscope.study.receptive_field import add_fields, fields_report
from archscope.study.summary import layers_table, summary_report

# By hand: 3, then 3 + 2·1 = 5 at stride 2, then 5 + 2·2 = 9; one column is seen as 1, 1, 5.
SMALL = nn.Sequential(
    nn.Conv2d(1, 1, (3, 1), padding=(1, 0)),
    nn.MaxPool2d((3, 1), (2, 1)),
    nn.Conv2d(1, 1, (3, 5)),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(1),
)


def small():
    return receptive_fields(network_target(SMALL, input="1x32x32"))


def test_a_row_for_every_layer_that_changes_the_field():
    (table,) = fields_report(small()).tables
    assert table.column("name") == ["0", "1", "2", "4"]
    assert table.column("size") == ["3×1", "5×1", "9×5", "global"]
    assert table.column("stride") == ["1", "2×1", "2×1", None]
    assert table.column("padding") == ["1×0", "1×0", "1×0", None]
    assert table.column("center") == ["0", "1×0", "3×2", None]


def test_files_get_plain_numbers_of_every_call():
    rows = fields_report(small()).data.records()
    relu = next(row for row in rows if row["name"] == "3")
    assert (relu["height_size"], relu["width_size"], relu["height_stride"]) == (9, 5, 2)
    pool = next(row for row in rows if row["name"] == "4")
    assert pool["height_size"] is None and pool["height_global"] is True


def test_the_figure_frames_the_field_of_the_middle_position():
    (chart,) = fields_report(small(), "2").charts
    (frame,) = chart.series
    # Position 6 of 13 begins at 6·2 − 1 = 11 and sees 9 rows; position 13 of 28 sees 13 … 17.
    assert (min(frame.y), max(frame.y)) == (11, 20)
    assert (min(frame.x), max(frame.x)) == (13, 18)
    (outline,) = chart.lines
    assert (max(outline.x), max(outline.y)) == (32, 32)
    assert chart.to_scale


def test_layers_with_the_same_frame_are_drawn_once():
    (chart,) = fields_report(small(), "[2-3]").charts
    assert len(chart.series) == 1


def test_a_pattern_chooses_layers_and_must_match():
    (table,) = fields_report(receptive_fields(network_target("resnet18")), "layer?").tables
    assert table.column("size") == ["43", "99", "211", "435"]
    with pytest.raises(ArchscopeError, match=r"^layers='stage"):
        fields_report(small(), "stage*")


def test_the_summary_has_a_column_of_them():
    analysis = add_fields(analyse(target("resnet18")), target("resnet18"))
    (table,) = summary_report(analysis, columns=["receptive_field"], depth=1).tables
    found = dict(zip(table.column("name"), table.column("receptive_field"), strict=True))
    assert found["layer4"] == "435" and found["avgpool"] == "global"
    assert archive.loads(archive.dumps(analysis)) == analysis
    assert "receptive_field" in [column.key for column in layers_table(analysis).columns]
    assert add_fields(analysis, target(analysis)) is analysis


def test_blocks_that_see_more_and_more_are_not_folded():
    network = nn.Sequential(
        *(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(3))
    )
    plain = analyse(target(network, input="4x16x16"))
    folded = summary_report(plain, columns=["params"]).tables[0]
    seen = summary_report(
        add_fields(plain, target(network, input="4x16x16")), columns=["receptive_field"], depth=1
    ).tables[0]
    assert any("×3" in name for name in folded.column("name"))
    assert seen.column("receptive_field")[1:4] == ["3", "5", "7"]


def test_a_record_saved_without_fields_says_so():
    with pytest.raises(ArchscopeError, match="saved without it"):
        add_fields(analyse(target("lenet5")), target(analyse(target("lenet5"))))


def test_an_input_without_height_and_width_is_refused():
    with pytest.raises(ArchscopeError, match="receptive fields need an image"):
        receptive_fields(network_target(nn.Linear(4, 2), input="4"))
