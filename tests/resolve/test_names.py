"""Names lead to the zoo, torchvision and timm, with published sizes and default inputs."""

import builtins
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights, list_models

from archscope import zoo
from archscope.errors import ArchscopeError
from archscope.records import InputSpec, TensorSpec
from archscope.resolve import network, published, published_entries, timm_models, vision


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def image(*sides: int) -> InputSpec:
    return InputSpec((TensorSpec((1, *sides)),))


@pytest.mark.parametrize("name", list_models())
def test_every_torchvision_network_has_its_published_parameters(name: str) -> None:
    """`num_params` of every weight entry, with the keywords that make its network."""
    entries = published_entries(name)
    assert [entry["entry"] for entry in entries] == [w.name for w in get_model_weights(name)]
    for keywords in {tuple(entry["keywords"].items()) for entry in entries}:
        found = network(name, **dict(keywords))
        sizes = {e["num_params"] for e in entries if tuple(e["keywords"].items()) == keywords}
        assert {params(found.module)} == sizes
        tensors = (*found.module.parameters(), *found.module.buffers())
        # Integer buffers, such as the tables of window positions, keep their values.
        assert all(t.is_meta for t in tensors if t.is_floating_point())
        assert found.source == "torchvision"


def test_there_are_115_published_entries() -> None:
    """As many as torchvision's documentation lists for classification."""
    names = [name for name in list_models() if vision.family(name) == "classification"]
    assert sum(len(published_entries(name)) for name in names) == 115


def test_googlenet_is_the_published_one() -> None:
    found = network("googlenet")
    assert params(found.module) == 6_624_904
    assert "auxiliary" in found.notes[0]
    assert params(network("googlenet", aux_logits=True).module) > 6_624_904


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("lenet", image(1, 28, 28)),
        ("resnet50", image(3, 224, 224)),
        ("inception_v3", image(3, 299, 299)),
        ("efficientnet_b7", image(3, 600, 600)),
        ("vit_h_14", image(3, 224, 224)),
        ("swin_v2_t", image(3, 256, 256)),
        ("quantized_inception_v3", image(3, 299, 299)),
        ("fcn_resnet50", image(3, 520, 520)),
        ("r3d_18", image(3, 16, 112, 112)),
        ("mvit_v2_s", image(3, 16, 224, 224)),
        ("raft_small", InputSpec((TensorSpec((1, 3, 512, 512)),) * 2)),
        ("ssd300_vgg16", InputSpec(image(3, 300, 300).tensors, "images")),
        ("ssdlite320_mobilenet_v3_large", InputSpec(image(3, 320, 320).tensors, "images")),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", InputSpec(image(3, 320, 320).tensors, "images")),
        ("retinanet_resnet50_fpn", InputSpec(image(3, 800, 800).tensors, "images")),
    ],
)
def test_default_inputs(name: str, spec: InputSpec) -> None:
    assert network(name).input == spec


@pytest.mark.parametrize("name", [n for n in list_models() if vision.family(n) == "video"])
def test_a_video_network_takes_its_default_input(name: str) -> None:
    found = network(name)
    assert found.input is not None
    clip = torch.empty(found.input.tensors[0].shape, device="meta")
    with torch.no_grad():
        assert found.module(clip).shape == (1, 400)


def test_an_image_size_decides_the_default_input() -> None:
    assert network("vit_b_16", image_size=384).input == image(3, 384, 384)
    assert network("maxvit_t", input_size=(448, 448)).input == image(3, 448, 448)


def test_keywords_reach_the_constructor() -> None:
    found = network("resnet50", groups=32, width_per_group=4, num_classes=2)
    assert params(found.module) == 25_028_904 - 998 * (2048 + 1)  # resnext50_32x4d, two classes
    assert found.keywords == (("groups", "32"), ("width_per_group", "4"), ("num_classes", "2"))
    assert dict(found.versions)["torchvision"]


def test_the_zoo_comes_first() -> None:
    found = network("lenet", num_classes=2)
    assert found.source == "archscope zoo"
    assert params(found.module) == zoo.card("lenet").params - 8 * 85
    assert "torchvision" not in dict(found.versions)


def norms(module: nn.Module) -> set[type[nn.Module]]:
    return {type(m) for name, m in module.named_modules() if name.endswith(("bn1", "bn2", "bn3"))}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("batch", nn.BatchNorm2d),
        ("group", nn.GroupNorm),
        ("instance", nn.InstanceNorm2d),
        ("layer", nn.GroupNorm),
        ("none", nn.Identity),
    ],
)
def test_norm_layers_go_by_name(text: str, kind: type[nn.Module]) -> None:
    found = network("resnet18", norm_layer=text)
    assert norms(found.module) == {kind}
    affine = 0 if text == "none" else 11_689_512
    assert params(found.module) == (affine or 11_689_512 - 2 * 4800)
    assert found.keywords == (("norm_layer", text),)


def test_group_and_layer_norm_say_what_they_normalise() -> None:
    layer, group = (network("resnet18", norm_layer=name) for name in ("layer", "group"))
    assert layer.module.bn1.num_groups == 1
    assert group.module.bn1.num_groups == 32
    assert "over C×H×W" in layer.notes[0]
    assert "32 groups" in group.notes[0]


def test_networks_of_tokens_and_video_take_their_own_norms() -> None:
    assert isinstance(network("vit_b_16", norm_layer="layer").module.encoder.ln, nn.LayerNorm)
    kinds = {type(m) for m in network("s3d", norm_layer="batch").module.modules()}
    assert nn.BatchNorm3d in kinds
    assert nn.BatchNorm2d not in kinds
    with pytest.raises(ArchscopeError, match=r"norm_layer=batch: .*use layer or none"):
        network("vit_b_16", norm_layer="batch")


def test_activations_go_by_name_also_those_without_inplace() -> None:
    kinds = {type(m) for m in network("regnet_y_400mf", activation="gelu").module.modules()}
    assert nn.GELU in kinds
    assert nn.ReLU not in kinds


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("resnet5", {}, "resnet5: unknown network; did you mean .*resnet50"),
        ("lenett", {}, r"did you mean .*lenet.*\?"),
        ("ResNet50", {}, "did you mean .*resnet50"),
        ("qqqqqq", {}, "list the names with `archscope models`"),
        ("torchvision:resnet5", {}, "torchvision has no such network; did you mean .*resnet50"),
        ("resnet50", {"num_clases": 2}, "num_clases: .*did you mean num_classes"),
        ("resnet50", {"resolution": 160}, "no such keyword; write image for the side"),
        ("resnet50", {"layers": 2}, "layers: resnet50 takes no such keyword"),
        ("lenet", {"num_clases": 2}, "num_clases: lenet takes no such keyword; did you mean num_c"),
        ("mobilenet_v3_large", {"foo": 2}, "foo: .* it takes .*num_classes.*width_mult"),
        ("fcn_resnet50", {"aux": True}, "aux: fcn_resnet50 takes no such keyword"),
        ("fasterrcnn_resnet50_fpn", {"min_sise": 9}, "did you mean min_size"),
        ("resnet50", {"weights": "DEFAULT"}, "weights: .*downloads none; leave it out"),
        ("fcn_resnet50", {"weights_backbone": "DEFAULT"}, "weights_backbone: .*leave it out"),
        ("resnet50", {"pretrained": True}, "pretrained: .*leave it out"),
        ("resnet50", {"norm_layer": "grop"}, "norm_layer=grop: .*did you mean group"),
        ("regnet_y_400mf", {"activation": "qq"}, "activation=qq: .*use .*gelu"),
        ("resnext50_32x4d", {"groups": 64}, "its constructor raises ValueError: .*groups"),
        ("resnet18", {"groups": 2}, "raises ValueError: BasicBlock only supports groups=1"),
        ("run.json", {}, "run.json: is a file, and this needs the network itself; name that"),
    ],
)
def test_mistakes_are_told_in_one_line(name: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchscopeError, match=message) as error:
        network(name, **keywords)
    assert "\n" not in str(error.value)
    assert error.value.remedy


def test_keywords_that_a_detector_passes_on_are_taken() -> None:
    found = network("fasterrcnn_resnet50_fpn", min_size=400, fixed_size=(400, 400), num_classes=2)
    assert found.module.transform.min_size == (400,)


def test_published_figures_are_those_of_the_default_network() -> None:
    """Figures from torchvision's documentation of its classification weights."""
    facts = published("resnet50")
    assert (facts["entry"], facts["num_params"]) == ("IMAGENET1K_V2", 25_557_032)
    assert (round(facts["gmacs"], 2), facts["acc@1"], facts["acc@5"]) == (4.09, 80.858, 95.434)
    assert published("vit_h_14")["entry"] == "IMAGENET1K_SWAG_LINEAR_V1"
    assert published("fcn_resnet50")["acc@1"] is None


def test_a_torchvision_that_does_not_fit_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(vision.importlib, "import_module", import_module)
    vision.library.cache_clear()
    with pytest.raises(ArchscopeError, match=r"torchvision: does not fit torch .*pip install"):
        network("resnet50")


def test_a_missing_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    vision.library.cache_clear()
    with pytest.raises(ArchscopeError, match=r"torchvision: cannot be imported .*pip install"):
        network("resnet50")


def test_a_missing_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ArchscopeError, match=r"timm: cannot be imported .*pip install timm"):
        network("timm:convnext_tiny")


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the few functions of timm that are used."""

    class Tiny(nn.Module):
        def __init__(self, num_classes: int = 10) -> None:
            super().__init__()
            self.head = nn.Linear(4, num_classes)
            self.pretrained_cfg = {"input_size": (3, 240, 240)}

    def create_model(name: str, img_size: int = 240, in_chans: int = 3, **kwargs: Any) -> nn.Module:
        return Tiny(**kwargs)

    library: Any = SimpleNamespace(
        list_models=lambda: ["tiny_a", "tiny_b"],
        is_model=lambda name: name in ("tiny_a", "tiny_b"),
        create_model=create_model,
    )
    monkeypatch.setitem(sys.modules, "timm", library)
    monkeypatch.setattr("archscope.resolve.metadata.version", lambda name: "1.0")


@pytest.mark.usefixtures("timm")
def test_timm_networks_take_their_own_input_size() -> None:
    found = network("timm:tiny_a", num_classes=3)
    assert (found.source, found.input) == ("timm", image(3, 240, 240))
    assert params(found.module) == 15
    assert network("timm:tiny_a", img_size=64, in_chans=1).input == image(1, 64, 64)
    assert timm_models.names() == ["tiny_a", "tiny_b"]


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("tiny_c", {}, "timm:tiny_c: timm has no such network; did you mean tiny_"),
        ("tiny_a", {"num_clases": 3}, "num_clases: timm:tiny_a takes no such keyword"),
        ("tiny_a", {"pretrained": True}, "pretrained: .*leave it out"),
    ],
)
def test_mistakes_with_timm(name: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchscopeError, match=message):
        network(f"timm:{name}", **keywords)


@pytest.mark.parametrize(
    ("name", "absent"),
    [("", ("torch", "torchvision", "timm")), ("lenet", ("torchvision", "timm", "pandas"))],
)
def test_only_what_a_name_needs_is_imported(name: str, absent: tuple[str, ...]) -> None:
    """In a process of its own, since this one has imported everything."""
    code = "import sys; from archscope.resolve import network, parse_input\n"
    code += f"network({name!r})\n" if name else ""
    code += f"print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr(builtins, "input", refuse)
    found = network("ssd300_vgg16")
    assert params(found.with_storage()) == 35_641_826


def test_torchvision_s_networks_have_a_prefix_too() -> None:
    found = network("torchvision:alexnet", num_classes=10)
    assert found.source == "torchvision"
    # as torchvision publishes, less 990 classes of 4096 weights and a bias
    assert sum(p.numel() for p in found.module.parameters()) == 61_100_840 - 990 * 4097
