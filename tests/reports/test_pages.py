"""reports/: pages regenerate from their data, need no torch, and say what the numbers say."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

import reports
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.records import Environment, Measurement, Profile
from archscope.table import Table
from reports import count
from reports.__main__ import run
from reports.articles import equal_cost, family_tree, normalisation
from reports.articles.corrections import connections
from reports.data import Data

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "reports"
PUBLISHED = json.loads((ROOT / "tests" / "references" / "paper_tables.json").read_text())


@pytest.fixture(scope="module")
def data():
    return Data.load(REPORTS / "data")


@pytest.fixture(scope="module")
def pages(data):
    return {page.slug: page for page in reports.pages(data)}


@pytest.fixture(scope="module")
def made(data):
    return reports.files(data)


def test_every_page_is_what_its_data_make(made):
    texts = {name: text.decode() for name, text in made.items() if name.endswith(".md")}
    committed = {path.name: path.read_text() for path in REPORTS.glob("*.md")}
    assert texts == committed


def test_every_figure_draws_what_its_data_make(made):
    stamps = json.loads(made[reports.STAMPS])
    committed = json.loads((REPORTS / reports.STAMPS).read_text())
    assert stamps["charts"] == committed["charts"]
    figures = {name: image for name, image in made.items() if name.endswith(".svg")}
    assert {Path(name).name for name in figures} == {
        path.name for path in (REPORTS / reports.FIGURES).glob("*.svg")
    }
    if committed["matplotlib"] == matplotlib.__version__:
        for name, image in figures.items():
            assert image == (REPORTS / name).read_bytes()


def test_the_data_stay_small():
    assert sum(path.stat().st_size for path in (REPORTS / "data").iterdir()) < 10_000_000


def test_rebuilding_needs_no_torch(tmp_path):
    (tmp_path / "data").symlink_to(REPORTS / "data")
    code = (
        "import sys\nfrom reports.__main__ import run\n"
        f"assert run([{str(tmp_path)!r}]) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert {path.name for path in tmp_path.glob("*.md")} == {
        path.name for path in REPORTS.glob("*.md")
    }


def test_a_figure_that_no_page_shows_is_removed(tmp_path, data, made, monkeypatch):
    monkeypatch.setattr(reports, "files", lambda data: {"README.md": made["README.md"]})
    (tmp_path / "data").symlink_to(REPORTS / "data")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.svg").write_text("<svg/>")
    reports.rebuild(tmp_path)
    assert not list(tmp_path.glob("figures/*"))
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_without_data_is_refused(tmp_path, capsys):
    assert run([str(tmp_path)]) == 2
    assert "reports --count" in capsys.readouterr().err
    with pytest.raises(ArchscopeError, match="is missing"):
        Data({}, {}, {}).analysis("resnet50")


@pytest.mark.parametrize("name", ["resnet50", "lenet5", "lenet5_1998"])
def test_the_committed_counts_are_what_is_counted_today(data, name):
    counted = analyse(target(name), backward=name == "resnet50").total
    # Saved before the bytes of parameters were counted, which no page shows.
    assert data.analysis(name).total == dataclasses.replace(counted, param_bytes=0)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("alexnet", 8), ("vgg16", 16), ("googlenet", 22), ("resnet50", 50), ("densenet121", 121)],
)
def test_depths_are_those_that_the_papers_name(data, name, layers):
    assert data.depth(name) == layers


def test_depth_follows_the_longest_branch():
    assert count.depth("resnet18") == 18


# The corrections


def section(pages, title):
    """The tables of one correction."""
    blocks = pages["course-notes"].blocks
    (start,) = [
        i
        for i, block in enumerate(blocks)
        if isinstance(block, str) and block.startswith("## ") and title in block
    ]
    return next(block for block in blocks[start:] if isinstance(block, Table))


def test_lenets_second_convolution_has_the_connections_of_the_paper(pages, data):
    table = section(pages, "241,600")
    paper = PUBLISHED["lenet5_lecun1998"]["layers"]["C3"]
    assert table.column("connections") == [16 * 10 * 10 * (6 * 5 * 5 + 1), paper[1]]
    assert table.column("params")[1] == paper[0]
    first = next(layer for layer in data.analysis("lenet5_1998").layers if layer.name == "c1")
    assert connections(first) == PUBLISHED["lenet5_lecun1998"]["layers"]["C1"][1]


def test_pooling_rounds_down_unless_told_otherwise(pages):
    table = section(pages, "rounds down")
    assert table.column("output") == ["1×64×55×55", "1×64×56×56"]


def test_each_group_has_its_own_kernels(pages):
    assert section(pages, "own kernels").column("params") == [
        128 * 128 * 9, 32 * (4 * 4 * 9), 4 * 4 * 9,
    ]  # fmt: skip


def test_layer_norm_has_a_pair_for_each_element(pages):
    # ResNet-50 has 26,560 normalised channels and 11,113,984 normalised elements at 224×224.
    assert section(pages, "Layer norm").column("params") == [2 * 26_560, 2 * 11_113_984]


def test_one_over_g_holds_for_the_grouped_convolutions_alone(pages):
    table = section(pages, "“1/g”")
    assert table.column("grouped") == [1 / g for g in table.column("groups")]
    assert all(share > 0.5 for share in table.column("params"))
    text = pages["course-notes"].blocks[-1]
    exact = PUBLISHED["resnext"]["table1"]
    share = exact["resnext50_32x4d"]["exact_params"] / exact["resnet50"]["exact_params"]
    assert f"{share:.3f}×" in text


# Sentences follow the numbers


def test_kernels_of_the_two_networks_add_up(data):
    table = equal_cost.kernels(*(data.analysis(name) for name in equal_cost.NAMES))
    shares = table.column("macs_share")
    assert shares[0] + shares[2] < 1 and shares[1] + shares[3] < 1
    assert table.column("macs")[3] == 231211008  # Xie et al. 2017's 32×4d, grouped convolutions


def test_sentences_change_with_the_numbers(data):
    swapped = dict(data.counted)
    swapped["resnet50"], swapped["resnext50_32x4d"] = (
        data.counted["resnext50_32x4d"], data.counted["resnet50"],
    )  # fmt: skip
    before = equal_cost.page(data).findings
    after = equal_cost.page(dataclasses.replace(data, counted=swapped)).findings
    assert not set(before[:3]) & set(after[:3])


def profile(data, name, device):
    """A made-up measurement: backward takes twice as long as forward."""

    def seconds(value):
        return Measurement((value,) * 6, value, value)

    return Profile(
        name,
        data.analysis(name).input,
        Environment(device, (("device name", f"Maker's {device}"), ("torch", "2.15"))),
        {"forward": seconds(0.01), "backward": seconds(0.02), "step": seconds(0.04),
         "inference": seconds(0.01)},
        analysis=data.analysis(name),
    )  # fmt: skip


def test_times_appear_when_they_are_measured_and_a_gpu_comes_before_a_cpu(data):
    measured = {
        f"{device}-{job}": profile(data, name, device)
        for device in ("cpu", "cuda")
        for job, name in zip(equal_cost.JOBS, equal_cost.NAMES, strict=True)
    }
    timed = dataclasses.replace(data, measured=measured)
    text = equal_cost.page(timed).markdown(timed)
    assert "Measured on Maker's cuda" in text and "Maker's cpu" not in text
    same = "between ResNeXt-50 and ResNet-50 no difference shows in the time for inference and the"
    assert same in text
    few = {
        name: dataclasses.replace(found, phases={
            phase: Measurement(m.seconds[:5], m.median, m.median)
            for phase, m in found.phases.items()
        })
        for name, found in measured.items()
    }  # fmt: skip
    unknown = dataclasses.replace(data, measured=few)
    told = "training step is unknown (too few runs for an interval)"
    assert told in equal_cost.page(unknown).markdown(unknown)
    untimed = dataclasses.replace(data, measured={})
    assert "not measured yet" in equal_cost.page(untimed).markdown(untimed)


def test_times_of_two_devices_are_never_compared(data):
    """A run on a GPU that ended early leaves some jobs measured on the CPU alone."""
    (one, two), (first, second) = equal_cost.JOBS, equal_cost.NAMES
    measured = {
        f"nvidia-h200-{one}": profile(data, first, "cuda"),
        f"amd-epyc-{one}": profile(data, first, "cpu"),
        f"amd-epyc-{two}": profile(data, second, "cpu"),
    }
    timed = dataclasses.replace(data, measured=measured)
    text = equal_cost.page(timed).markdown(timed)
    assert "Maker's cpu" in text and "Maker's cuda" not in text
    assert timed.profiles([one]) == {one: measured[f"nvidia-h200-{one}"]}


def test_the_course_networks_join_the_family_when_measured(data):
    lenet = {"cpu-lenet": profile(data, "lenet5", "cpu")}
    timed = dataclasses.replace(data, measured=lenet)
    table = [b for b in family_tree.page(timed).blocks if isinstance(b, Table)][-1]
    assert table.column("images_per_second") == [25]
    assert table.column("macs") == [416_520]


def test_normalisations_differ_in_nothing_but_their_own_parameters(data):
    own = {norm: normalisation.own(data.analysis(normalisation.name(norm)), norm)
           for norm in normalisation.NORMS}  # fmt: skip
    whole = {norm: data.analysis(normalisation.name(norm)).total for norm in normalisation.NORMS}
    assert len({whole[norm].params - own[norm].params for norm in own}) == 1
    assert len({total.macs for total in whole.values()}) == 1


def test_the_index_links_every_page(made):
    index = made["README.md"].decode()
    assert all(f"({name})" in index for name in made if name.endswith(".md") and name[0] != "R")


# ResNet-50 on a V100


def test_the_kinds_of_layers_of_the_trace_are_all_its_layers(pages, data):
    profile = data.traced("traced-resnet50-v100")
    title = "Time and MACs by kind of layer"
    blocks = pages["resnet50-on-v100"].blocks
    (table,) = [each for each in blocks if isinstance(each, Table) and each.title == title]
    layers = sum(row.total_seconds for row in profile.layers if row.in_network)
    both = sum(table.column("forward_seconds")) + sum(table.column("backward_seconds"))
    assert both == pytest.approx(layers)
    assert sum(table.column("macs_share")) == pytest.approx(1)


def test_a_missing_trace_names_the_file():
    with pytest.raises(ArchscopeError, match="archscope trace -o"):
        Data({}, {}, {}).traced("traced-resnet50-v100")
