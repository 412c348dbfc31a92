"""Networks of sequences are compared by kind of work, on counts worked out by hand."""

from __future__ import annotations

from torch import Tensor, nn

from archscope.ask.contenders import contenders
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.study.compare import compare_report
from archscope.study.families import family_totals

LENGTH, WIDTH = 6, 8


class Tagger(nn.Module):
    """Tokens → embedding → encoder layer → linear layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, WIDTH)
        self.encoder = nn.TransformerEncoderLayer(WIDTH, 2, hidden, batch_first=True)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(self.embedding(tokens)))
        return out


def test_a_sequence_is_divided_by_kind_of_work() -> None:
    chosen = contenders([target(Tagger(h), input="6:int64") for h in (16, 32)])
    titles = [table.title for table in compare_report(chosen).tables]
    assert titles[1:] == [
        "MACs by kind of work", "Parameters by kind of work", "Activations by kind of work",
    ]  # fmt: skip
    macs = compare_report(chosen).tables[1]
    kinds, first, second = ([row.cells[i] for row in macs.rows] for i in range(3))
    # Projections of nn.MultiheadAttention are no modules of their own: 4·L·D² and 2·L²·D.
    attention = 4 * LENGTH * WIDTH**2 + 2 * LENGTH**2 * WIDTH
    linear = [LENGTH * WIDTH * (2 * hidden + 3) for hidden in (16, 32)]
    assert kinds == ["linear", "attention", "Total"]
    assert first == [linear[0], attention, linear[0] + attention]
    assert second == [linear[1], attention, linear[1] + attention]
    assert macs.notes[0] == "The largest part of the difference is in linear layers (100 % of it)."


def test_kinds_add_up_to_the_network() -> None:
    analysis = analyse(target(Tagger(16), input="6:int64"))
    found = family_totals(analysis)
    assert sum(total.params for total in found.values()) == analysis.total.params
    assert sum(total.macs for total in found.values()) == analysis.total.macs
    assert found["attention"].params == 4 * WIDTH * (WIDTH + 1)
    assert found["embedding"].params == 10 * WIDTH


def test_images_keep_their_strides_and_show_attention() -> None:
    report = compare_report(contenders([target("vit_b_16"), target("resnet18")]))
    titles = [table.title for table in report.tables]
    assert "MACs by output stride" in titles and titles[-1] == "MACs by kind of work"
    assert len({chart.name for chart in report.charts}) == len(report.charts)
