"""ResNeXt of Xie et al. 2017, in the three equivalent forms of its block (Fig. 3)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "resnext": {
        "constructor": "ResNeXt",
        "keywords": {},
        "source": "Xie et al. 2017, Aggregated Residual Transformations, arXiv:1611.05431",
        "input": "3x224x224",
        "introduced": "Cardinality, the number of parallel transformations, as a design axis.",
        "params": 25028904,
        "macs": 4230479872,
        "published": (
            ("params of 32×4d", 25.0e6, "Table 1"),
            ("macs of 32×4d", 4.2e9, "Table 1"),
            (
                "top-1 error of 1×64d, 2×40d, 4×24d, 8×14d, 32×4d, %",
                "23.9, 23.0, 22.6, 22.3, 22.2",
                "Table 3",
            ),
        ),
    },
    "resnext50_32x4d_concat": {
        "constructor": "ResNeXt",
        "keywords": {"form": "concat"},
        "source": "Xie et al. 2017, arXiv:1611.05431, Fig. 3(b)",
        "input": "3x224x224",
        "introduced": "ResNeXt-50 by early concatenation: 32 paths joined before one last 1×1.",
        "params": 25028904,
        "macs": 4230479872,
        "published": (("params", 25.0e6, "Table 1"), ("macs", 4.2e9, "Table 1")),
    },
    "resnext50_32x4d_split": {
        "constructor": "ResNeXt",
        "keywords": {"form": "split"},
        "source": "Xie et al. 2017, arXiv:1611.05431, Fig. 3(a)",
        "input": "3x224x224",
        "introduced": "ResNeXt-50 by split, transform and merge: the sum of 32 bottleneck paths.",
        "params": 25028904,
        "macs": 4230479872,
        "published": (("params", 25.0e6, "Table 1"), ("macs", 4.2e9, "Table 1")),
    },
    "resnext_cifar": {
        "constructor": "CifarResNeXt",
        "keywords": {},
        "source": "Xie et al. 2017, arXiv:1611.05431, section 5.3",
        "input": "3x32x32",
        "introduced": "Three stages of n ResNeXt blocks for 32×32 images.",
        "params": 34426698,
        "macs": 5387266048,
        "published": (("depth", 29, "section 5.3"),),
    },
    "resnext29_8x64d_cifar": {
        "constructor": "CifarResNeXt",
        "keywords": {"groups": 8, "width_per_group": 64},
        "source": "Xie et al. 2017, arXiv:1611.05431, section 5.3",
        "input": "3x32x32",
        "introduced": "Eight paths beat a Wide ResNet of its size on CIFAR.",
        "params": 34426698,
        "macs": 5387266048,
        "published": (("params", "34.4M", "Table 7"), ("error on CIFAR-10, %", 3.65, "Table 7")),
    },
    "resnext29_16x64d_cifar": {
        "constructor": "CifarResNeXt",
        "keywords": {"groups": 16, "width_per_group": 64},
        "source": "Xie et al. 2017, arXiv:1611.05431, section 5.3",
        "input": "3x32x32",
        "introduced": "More paths of the same width: the paper's best on CIFAR.",
        "params": 68155210,
        "macs": 10688866304,
        "published": (("params", "68.1M", "Table 7"), ("error on CIFAR-10, %", 3.58, "Table 7")),
    },
    "resnext_block": {
        "constructor": "ResNeXtBlock",
        "keywords": {},
        "source": "Xie et al. 2017, arXiv:1611.05431, Fig. 3(c)",
        "input": "256x56x56",
        "introduced": "A bottleneck whose 3×3 convolution is grouped.",
        "params": 71168,
        "macs": 219971584,
        "published": (("params of the convolutions", "about 70k", "Table 2"),),
    },
    "resnext_block_concat": {
        "constructor": "ResNeXtBlock",
        "keywords": {"form": "concat"},
        "source": "Xie et al. 2017, arXiv:1611.05431, Fig. 3(b)",
        "input": "256x56x56",
        "introduced": "The same function by early concatenation of its paths.",
        "params": 71168,
        "macs": 219971584,
        "published": (("params of the convolutions", "about 70k", "Table 2"),),
    },
    "resnext_block_split": {
        "constructor": "ResNeXtBlock",
        "keywords": {"form": "split"},
        "source": "Xie et al. 2017, arXiv:1611.05431, Fig. 3(a)",
        "input": "256x56x56",
        "introduced": "The same function by splitting, transforming and merging.",
        "params": 71168,
        "macs": 219971584,
        "published": (("params of the convolutions", "about 70k", "Table 2"),),
    },
}

Norm = str | Callable[[int], nn.Module]
Activation = str | Callable[[], nn.Module]


def make_norm(norm_layer: str | Callable[[int], nn.Module], channels: int, size: int) -> nn.Module:
    """Normalise N×channels×size×size; a callable is given the channels, as in torchvision.

    `batch`, `instance` and `group` (32 groups, or the largest power of two that divides the
    channels) learn a scale and a shift per channel.
    `layer` takes its mean and variance over C×H×W and learns a scale and a shift for each of its
    C·H·W elements (Ba et al. 2016), so it is tied to one size.
    """
    if not isinstance(norm_layer, str):
        return norm_layer(channels)
    if norm_layer == "batch":
        return nn.BatchNorm2d(channels)
    if norm_layer == "layer":
        return nn.LayerNorm((channels, size, size))
    if norm_layer == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if norm_layer == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels)
    if norm_layer == "none":
        return nn.Identity()
    raise ValueError(f"norm_layer={norm_layer}: must be batch, layer, instance, group or none")


def make_activation(activation: str | Callable[[], nn.Module]) -> nn.Module:
    """An activation by its name, or from a callable without arguments."""
    if not isinstance(activation, str):
        return activation()
    classes: dict[str, type[nn.Module]] = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
    }
    if activation not in classes:
        raise ValueError(f"activation={activation}: must be one of {', '.join(classes)}")
    return classes[activation]()


class ResNeXtBlock(nn.Module):
    """x + Σᵢ Tᵢ(x) over `groups` bottleneck paths: N×input_channels×S×S to N×channels×(S/stride)².

    `form` says how the sum is computed: `split` runs each path and adds them up, `concat` joins the
    paths before a common last 1×1 convolution, `grouped` runs all of them as one grouped
    convolution.
    The three hold the same parameters and are the same function (section 3.3); normalisation
    follows each convolution, in `split` the last one after the sum.
    A norm that mixes channels (layer, group) would see one path at a time outside `grouped`, so it
    is refused there.

    Raises:
        ValueError: an unknown form, a group count below 1, or a norm that the form cannot have.
    """

    def __init__(
        self,
        *,
        input_channels: int = 256,
        channels: int = 256,
        groups: int = 32,
        width_per_group: int = 4,
        stride: int = 1,
        form: str = "grouped",
        image_size: int = 56,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        check_choices(groups, width_per_group, form, norm_layer)
        self.groups = groups
        self.form = form
        size = (image_size - 1) // stride + 1

        def transform(count: int) -> dict[str, nn.Module]:
            """The 1×1 and 3×3 convolutions of `count` paths as one module each."""
            width = count * width_per_group
            return {
                "conv1": nn.Conv2d(input_channels, width, 1, bias=False),
                "bn1": make_norm(norm_layer, width, image_size),
                "act1": make_activation(activation),
                "conv2": nn.Conv2d(
                    width, width, 3, stride=stride, padding=1, groups=count, bias=False
                ),
                "bn2": make_norm(norm_layer, width, size),
                "act2": make_activation(activation),
            }

        if form == "grouped":
            for name, module in transform(groups).items():
                self.add_module(name, module)
        else:
            self.paths = nn.ModuleList(named(transform(1)) for _ in range(groups))
        if form == "split":
            for path in self.paths:
                path.add_module("conv3", nn.Conv2d(width_per_group, channels, 1, bias=False))
        else:
            self.conv3 = nn.Conv2d(groups * width_per_group, channels, 1, bias=False)
        self.bn3 = make_norm(norm_layer, channels, size)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or input_channels != channels:
            project = nn.Conv2d(input_channels, channels, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(project, make_norm(norm_layer, channels, size))
        self.act3 = make_activation(activation)
        self._init_he(width_per_group)

    def _init_he(self, width_per_group: int) -> None:
        """Normal with variance 2 / fan-in; the fan-in of the last 1×1 is over all paths."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                if name.endswith("conv3"):
                    fan_in = self.groups * width_per_group
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn3(self._aggregate(x))
        out: Tensor = self.act3(y + self.downsample(x))
        return out

    def _aggregate(self, x: Tensor) -> Tensor:
        """Σᵢ Tᵢ(x), before its normalisation."""
        if self.form == "grouped":
            for name in ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3"):
                x = self.get_submodule(name)(x)
            return x
        if self.form == "concat":
            joined: Tensor = self.conv3(torch.cat([path(x) for path in self.paths], dim=1))
            return joined
        total: Tensor = self.paths[0](x)
        for path in self.paths[1:]:
            total = total + path(x)  # one at a time: only the sum stays alive
        return total


def check_choices(groups: int, width_per_group: int, form: str, norm_layer: Norm) -> None:
    if form not in ("grouped", "concat", "split"):
        raise ValueError(f"form={form}: must be grouped, concat or split")
    for keyword, value in (("groups", groups), ("width_per_group", width_per_group)):
        if value < 1:
            raise ValueError(f"{keyword}={value}: must be at least 1")
    if form != "grouped" and norm_layer in ("layer", "group"):
        raise ValueError(f"norm_layer={norm_layer}: must be batch, instance or none in form={form}")


def named(modules: dict[str, nn.Module]) -> nn.Sequential:
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


def transfer_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters and buffers between two forms of one ResNeXt, or of one block, either way.

    Path i of `split` and `concat` holds slice i of each tensor of `grouped`: along the output
    channels, and along the input channels for the last 1×1 convolution of `split`.

    Raises:
        ValueError: the two differ in more than their form.
    """
    path = re.compile(r"paths\.(\d+)\.")
    whole: dict[str, list[Tensor]] = {}
    for name, tensor in source.state_dict().items():
        whole.setdefault(path.sub("", name), []).append(tensor)
    state: dict[str, Tensor] = {}
    for name, own in target.state_dict().items():
        tensors = whole.get(path.sub("", name))
        if tensors is None:
            raise ValueError(f"transfer_weights: the source has no {path.sub('', name)}")
        dim = 1 if name.endswith("conv3.weight") else 0
        tensor = tensors[0] if own.dim() == 0 else torch.cat(tensors, dim)
        if (match := path.search(name)) and own.dim() > 0:
            tensor = tensor.narrow(dim, int(match[1]) * own.shape[dim], own.shape[dim])
        if tensor.shape != own.shape:
            raise ValueError(f"transfer_weights: {name} is of another shape in the source")
        state[name] = tensor
    target.load_state_dict(state)


# Blocks per stage, those of the ResNet of that depth (Table 1); 26 is two blocks in each stage.
STAGES = {26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STAGES[200] = (3, 24, 36, 3)


class ResNeXt(nn.Module):
    """The ImageNet network of Table 1: N×C×S×S to N×num_classes.

    Each stage runs blocks of `groups` paths, `width_per_group` channels wide in the first stage
    and twice as wide in each one after it; 1×64d is ResNet with the stride in the 3×3 convolution.
    S = `image_size` matters to layer normalisation alone; any other takes any size.

    Raises:
        ValueError: a depth outside `STAGES`, or as in `ResNeXtBlock`.
    """

    def __init__(
        self,
        *,
        depth: int = 50,
        groups: int = 32,
        width_per_group: int = 4,
        form: str = "grouped",
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 224,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ValueError(f"depth={depth}: must be one of {', '.join(map(str, STAGES))}")
        size = (image_size - 1) // 2 + 1
        self.conv1 = nn.Conv2d(input_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        self.bn1 = make_norm(norm_layer, 64, size)
        self.act1 = make_activation(activation)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        size = (size - 1) // 2 + 1
        options = {"form": form, "norm_layer": norm_layer, "activation": activation}
        add_stages(self, STAGES[depth], groups, width_per_group, size, options)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(2048, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


def add_stages(
    network: nn.Module,
    counts: tuple[int, ...],
    groups: int,
    width_per_group: int,
    size: int,
    options: dict[str, Any],
) -> None:
    """Stages layer1, layer2 … behind a stem of 64 channels, each but the first at half the size."""
    input_channels = 64
    for i, count in enumerate(counts):
        blocks: list[nn.Module] = []
        for j in range(count):
            stride = 2 if i > 0 and j == 0 else 1
            block = ResNeXtBlock(
                input_channels=input_channels,
                channels=256 * 2**i,
                groups=groups,
                width_per_group=width_per_group * 2**i,
                stride=stride,
                image_size=size,
                **options,
            )
            blocks.append(block)
            input_channels, size = 256 * 2**i, (size - 1) // stride + 1
        network.add_module(f"layer{i + 1}", nn.Sequential(*blocks))


class CifarResNeXt(nn.Module):
    """The CIFAR network of section 5.3: 9n + 2 layers, three stages of n blocks, 256 to 1024 wide.

    N×C×S×S to N×num_classes; S = `image_size` matters to layer normalisation alone.

    Raises:
        ValueError: a depth that is not 9n + 2, or as in `ResNeXtBlock`.
    """

    def __init__(
        self,
        *,
        depth: int = 29,
        groups: int = 8,
        width_per_group: int = 64,
        form: str = "grouped",
        num_classes: int = 10,
        input_channels: int = 3,
        image_size: int = 32,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if depth < 11 or depth % 9 != 2:
            near = max(11, round((depth - 2) / 9) * 9 + 2)
            raise ValueError(f"depth={depth}: must be 9n + 2, such as {near}")
        self.conv1 = nn.Conv2d(input_channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        self.bn1 = make_norm(norm_layer, 64, image_size)
        self.act1 = make_activation(activation)
        options = {"form": form, "norm_layer": norm_layer, "activation": activation}
        add_stages(self, ((depth - 2) // 9,) * 3, groups, width_per_group, image_size, options)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x
