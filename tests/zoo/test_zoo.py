"""What holds for every network of the zoo: its card, its counts, its file, its training."""

from __future__ import annotations

import ast
import importlib
import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from archscope import zoo

FILES = {family: Path(zoo.__file__).with_name(f"{family}.py") for family in zoo.FAMILIES}


def shape_of(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x"))


def test_listing_the_zoo_does_not_import_torch():
    code = "import sys; from archscope import zoo; zoo.card('lenet'); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_the_index_is_what_the_family_files_define():
    files = {path.stem for path in Path(zoo.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(zoo.FAMILIES)
    defined = [
        name
        for family in zoo.FAMILIES
        for name in importlib.import_module(f"archscope.zoo.{family}").ROWS
    ]
    assert list(zoo.names()) == defined
    assert len(set(defined)) == len(defined)


def test_no_name_is_taken_from_torchvision():
    assert not set(zoo.names()) & set(models.list_models())


@pytest.mark.parametrize("name", zoo.names())
def test_the_card_tells_source_and_counts(name, weightless, params, macs):
    card = zoo.card(name)
    assert card.source
    assert card.introduced.endswith(".")
    assert card.published or "block" in name
    assert all(quantity and where for quantity, _, where in card.published)
    network = weightless(name)
    assert params(network) == card.params
    assert macs(network, shape_of(card.input)) == card.macs


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_constructors_take_keywords_only(family):
    module = importlib.import_module(f"archscope.zoo.{family}")
    for name, row in module.ROWS.items():
        signature = inspect.signature(getattr(module, row["constructor"]))
        assert set(row["keywords"]) <= set(signature.parameters), name
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}, name


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_a_family_file_stands_alone(family):
    allowed = {"torch", *sys.stdlib_module_names}
    for node in ast.walk(ast.parse(FILES[family].read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module.split(".")[0] in allowed


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_a_copy_of_a_family_file_runs_in_another_project(family, tmp_path):
    copy = tmp_path / "pasted.py"
    copy.write_text(FILES[family].read_text())
    pasted = runpy.run_path(str(copy))
    name, row = next((n, r) for n, r in pasted["ROWS"].items() if (family, n) in SMALL_OF)
    preset, shape = SMALL[name]
    network = pasted[row["constructor"]](**{**row["keywords"], **preset})
    assert network(torch.randn(2, *shape_of(shape))) is not None


def test_copies_of_a_function_are_the_same_in_every_family_file():
    first: dict[str, str] = {}
    for path in FILES.values():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                assert first.setdefault(node.name, ast.unparse(node)) == ast.unparse(node)


def test_an_unknown_name_or_keyword_is_told_in_one_line():
    with pytest.raises(ValueError, match=r"^lenet6: not in the zoo"):
        zoo.build("lenet6")
    with pytest.raises(ValueError, match=r"^width: lenet takes no such keyword; it takes input_ch"):
        zoo.build("lenet", width=3)
    with pytest.raises(ValueError, match=r"^norm_layer=bach: must be batch, layer"):
        zoo.build("lenet_bn", norm_layer="bach")
    with pytest.raises(ValueError, match=r"^activation=rely: must be one of relu, "):
        zoo.build("lenet", activation="rely")


# A small network of each constructor, so that every line of the zoo trains within seconds.
SMALL = {
    "lenet": ({}, "1x28x28"),
    "lenet5_1998": ({}, "1x32x32"),
    "lenet_bn": ({}, "3x28x28"),
    "lenet_bn_d2l": ({}, "1x28x28"),
    "alexnet_2012": ({"image_size": 67, "hidden": 32, "num_classes": 8}, "3x67x67"),
    "vgg11_lrn": ({"image_size": 32, "width": 8, "hidden": 32, "num_classes": 8}, "3x32x32"),
    "vgg_block": ({"image_size": 8, "channels": 8}, "64x8x8"),
    "nin": ({"image_size": 16}, "3x16x16"),
    "nin_block": ({"image_size": 23, "widths": (8, 8, 8)}, "1x23x23"),
    "googlenet_2015_auxiliary": ({"image_size": 128, "num_classes": 8}, "3x128x128"),
    "inception_block": ({"image_size": 6}, "192x6x6"),
    "resnet18_d2l": ({"width": 8, "image_size": 40}, "1x40x40"),
    "densenet_d2l": ({"growth_rate": 4, "num_convs": 2, "image_size": 64}, "1x64x64"),
    "resnet50_v1": ({"width": 8, "num_classes": 8, "image_size": 64}, "3x64x64"),
    "resnet_preact": ({"width": 4, "num_classes": 8, "image_size": 64}, "3x64x64"),
    "resnet164_preact_cifar": ({"depth": 11, "width": 4, "image_size": 16}, "3x16x16"),
    "preact_block": ({"width": 4, "image_size": 6}, "256x6x6"),
    "resnet20_cifar": ({"depth": 8, "width": 4, "image_size": 16}, "3x16x16"),
    "resnext": (
        {"depth": 26, "groups": 2, "width_per_group": 4, "num_classes": 8, "image_size": 64},
        "3x64x64",
    ),
    "resnext_cifar": (
        {"depth": 11, "groups": 2, "width_per_group": 4, "image_size": 16},
        "3x16x16",
    ),
    "resnext_block": (
        {"input_channels": 16, "channels": 16, "groups": 2, "image_size": 6},
        "16x6x6",
    ),
    "densenet": (
        {"growth_rate": 2, "num_classes": 8, "image_size": 64},
        "3x64x64",
    ),
    "densenet_cifar": ({"depth": 10, "growth_rate": 4, "image_size": 16}, "3x16x16"),
    "dense_block": ({}, "3x8x8"),
    "transition_block": ({}, "23x8x8"),
    "basic_block": ({"width": 8, "image_size": 6}, "64x6x6"),
    "bottleneck_block": ({"input_channels": 16, "width": 4, "image_size": 6}, "16x6x6"),
}
SMALL_OF = {(zoo.card(name).family, name) for name in SMALL}
NORMS = ("batch", "layer", "instance", "group", "none")


def small(name: str, **keywords: object) -> tuple[nn.Module, torch.Tensor]:
    preset, shape = SMALL[name]
    torch.manual_seed(0)
    return zoo.build(name, **{**preset, **keywords}), torch.randn(4, *shape_of(shape))


def test_every_network_constructor_has_a_small_network_here():
    tried = {(zoo.card(name).family, zoo.card(name).constructor) for name in SMALL}
    assert tried == {(zoo.card(name).family, zoo.card(name).constructor) for name in zoo.names()}


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_lower_the_loss_and_reach_every_parameter(name):
    network, images = small(name)
    network.train()
    losses = []
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(4):
        torch.manual_seed(1)  # the same dropout masks in each step
        outputs = network(images)
        loss = sum(map(objective, outputs if isinstance(outputs, tuple) else (outputs,)))
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            untouched = [n for n, p in network.named_parameters() if p.grad is None]
            still = [n for n, p in network.named_parameters() if not p.grad.any()]
            assert (untouched, still) == ([], [])
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def objective(output: torch.Tensor) -> torch.Tensor:
    if output.dim() == 4:
        output = output.flatten(1)
    return functional.cross_entropy(output, torch.arange(len(output)) % min(output.shape[1], 8))


@pytest.mark.parametrize("norm_layer", NORMS)
@pytest.mark.parametrize("name", [n for n in SMALL if n not in ("lenet5_1998", "lenet_bn_d2l")])
def test_every_family_takes_each_normalisation(name, norm_layer):
    """Scale and shift per channel, or per element for layer norm; buffers for batch norm alone."""
    network, images = small(name, norm_layer=norm_layer)
    seen: list[int] = []
    kinds = {
        "batch": nn.BatchNorm2d,
        "layer": nn.LayerNorm,
        "instance": nn.InstanceNorm2d,
        "group": nn.GroupNorm,
        "none": nn.Identity,
    }

    def check(layer: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        _, channels, height, width = args[0].shape
        per_map = height * width if norm_layer == "layer" else 1
        assert sum(p.numel() for p in layer.parameters()) == 2 * channels * per_map
        assert sum(b.numel() for b in layer.buffers()) == (
            2 * channels + 1 if norm_layer == "batch" else 0
        )
        seen.append(channels)

    every = tuple(kinds.values())[:4]
    for module in network.modules():
        if isinstance(module, every):
            assert isinstance(module, kinds[norm_layer])
            module.register_forward_hook(check)
    network.eval()
    with torch.no_grad():
        network(images[:2])
    assert bool(seen) == (norm_layer != "none")


def test_a_callable_makes_the_normalisation_as_in_torchvision():
    network = zoo.build("lenet_bn", norm_layer=lambda channels: nn.GroupNorm(1, channels))
    assert network.bn2.num_groups == 1


@pytest.mark.parametrize(
    ("name", "keyword", "value", "admissible"),
    [
        ("resnet", "num_classes", 0, "at least 1"),
        ("resnet", "input_channels", -1, "at least 1"),
        ("lenet", "padding", -1, "at least 0"),
        ("densenet", "growth_rate", 2.5, "a whole number"),
        ("lenet", "image_size", "x", "a whole number"),
        ("lenet", "num_classes", True, "a whole number"),
        ("lenet", "norm_hidden", 2, "True or False"),
        ("nin", "dropout", "x", "a number"),
        ("vgg", "norm_layer", 0, "a name"),
    ],
)
def test_a_value_that_no_network_can_have_is_refused(name, keyword, value, admissible):
    with pytest.raises(ValueError, match=f"^{keyword}={value}: must be {admissible}$"):
        zoo.build(name, **{keyword: value})


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_the_defaults_of_a_constructor_are_values_that_build_takes(family, weightless):
    """One network a constructor, given all its defaults by keyword."""
    first = {zoo.card(n).constructor: n for n in zoo.names() if zoo.card(n).family == family}
    for name in first.values():
        constructor = getattr(
            importlib.import_module(f"archscope.zoo.{family}"), zoo.card(name).constructor
        )
        defaults = {p.name: p.default for p in inspect.signature(constructor).parameters.values()}
        weightless(name, **{**defaults, **zoo.card(name).keywords})
