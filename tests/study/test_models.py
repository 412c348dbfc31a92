"""The list of networks and the card of one."""

import sys
from types import SimpleNamespace

import pytest
from torchvision.models import list_models

from archscope import zoo
from archscope.errors import ArchscopeError
from archscope.study.models import model_card, models_report, models_table


def test_the_whole_list_has_the_zoo_and_torchvision() -> None:
    table = models_table()
    assert table.column("name") == [*zoo.names(), *list_models()]
    assert all(isinstance(count, int) for count in table.column("params"))
    assert str(len(table.rows)) in table.title


def test_a_pattern_is_a_part_of_the_name_or_a_glob() -> None:
    assert models_table("lenet5_1998").column("name") == ["lenet5_1998"]
    assert set(models_table("SQUEEZE").column("name")) == {"squeezenet1_0", "squeezenet1_1"}
    assert models_table("vgg1[13]").column("name") == ["vgg11", "vgg13"]
    assert models_table("raft_*").column("name") == ["raft_large", "raft_small"]


def test_a_row_tells_source_input_and_parameters() -> None:
    table = models_table("vit_h_14")
    assert table.rows[0].cells == ("vit_h_14", "torchvision", "1×3×224×224", 632_045_800)


def test_a_pattern_without_match_suggests() -> None:
    with pytest.raises(ArchscopeError, match=r"resnt50: .*did you mean resnet50"):
        models_table("resnt50")
    with pytest.raises(ArchscopeError, match=r"; list all names with `archscope models`$"):
        models_table("qqqq*")


def test_timm_is_listed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(list_models=lambda: ["tiny", "big"]))
    assert models_table("timm:t*").rows[0].cells == ("timm:tiny", "timm", None, None)
    assert models_table("timm:").column("name") == ["timm:tiny", "timm:big"]
    assert "timm:tiny" not in models_table("n").column("name")


def test_the_card_of_a_zoo_network() -> None:
    table = model_card("lenet5_1998")
    facts = dict(zip(table.column("fact"), table.column("value"), strict=True))
    assert "LeCun" in str(facts["source"])
    assert facts["trainable params"] == "60,000"  # LeCun et al. 1998, section II-B
    assert zoo.card("lenet5_1998").introduced in table.title


def test_a_rounded_count_of_a_card_is_written_with_its_unit() -> None:
    """Xie et al. 2017, Table 1: 25.0·10⁶ parameters, 4.2·10⁹ FLOPs."""
    table = model_card("resnext50_32x4d_split")
    facts = dict(zip(table.column("fact"), table.column("value"), strict=True))
    assert (facts["params"], facts["macs"]) == ("25.0 M", "4.20 G")


def test_the_card_of_a_torchvision_network() -> None:
    """Accuracy and parameters from torchvision's documentation."""
    table = model_card("resnet50")
    assert table.column("entry") == ["IMAGENET1K_V1", "IMAGENET1K_V2"]
    assert table.column("params") == [25_557_032] * 2
    assert table.column("top1") == pytest.approx([0.7613, 0.80858])


def test_the_card_of_no_network() -> None:
    with pytest.raises(ArchscopeError, match=r"resnt50: .*did you mean"):
        model_card("resnt50")


def test_architectures_are_listed_with_what_their_configurations_say():
    pytest.importorskip("transformers")
    table = models_report("hf:mixtra*").tables[0]
    # Mixtral 8x7B (Jiang et al. 2024, table 1): 32 layers, 32 heads of which 8 keep keys, 8 experts
    # of which each token meets 2.
    numbers = dict(zip((c.key for c in table.columns), table.rows[0].cells, strict=True))
    assert numbers["name"] == "hf:mixtral"
    assert (numbers["layers"], numbers["heads"], numbers["kv_heads"]) == (32, 32, 8)
    assert (numbers["experts"], numbers["experts_per_token"]) == (8, 2)


def test_the_card_of_an_architecture_names_its_tasks():
    pytest.importorskip("transformers")
    facts = {row.cells[0]: row.cells[1] for row in models_report("hf:bert").tables[0].rows}
    assert facts["layers"] == "12"
    assert "masked-lm" in str(facts["tasks"])
    assert "experts" not in facts
    with pytest.raises(ArchscopeError, match="did you mean hf:"):
        models_report("hf:brt")
