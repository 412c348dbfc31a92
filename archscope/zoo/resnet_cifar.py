"""The CIFAR networks of He et al. 2016: 6n + 2 layers with parameter-free shortcuts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

ROWS: dict[str, dict[str, object]] = {
    "resnet_cifar": {
        "constructor": "CifarResNet",
        "keywords": {},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Three stages of n basic blocks for 32×32 images, to be swept by depth.",
        "params": 269722,
        "macs": 40551040,
        "published": (("depth", "6n + 2", "section 4.2, p. 7"),),
    },
    "resnet20_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 20},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Three stages of three basic blocks for 32×32 images.",
        "params": 269722,
        "macs": 40551040,
        "published": (("params", "0.27M", "Table 6, p. 7"), ("error, %", 8.75, "Table 6, p. 7")),
    },
    "resnet32_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 32},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Three stages of five basic blocks for 32×32 images.",
        "params": 464154,
        "macs": 68862592,
        "published": (("params", "0.46M", "Table 6, p. 7"), ("error, %", 7.51, "Table 6, p. 7")),
    },
    "resnet44_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 44},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Three stages of seven basic blocks for 32×32 images.",
        "params": 658586,
        "macs": 97174144,
        "published": (("params", "0.66M", "Table 6, p. 7"), ("error, %", 7.17, "Table 6, p. 7")),
    },
    "resnet56_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 56},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Three stages of nine basic blocks for 32×32 images.",
        "params": 853018,
        "macs": 125485696,
        "published": (("params", "0.85M", "Table 6, p. 7"), ("error, %", 6.97, "Table 6, p. 7")),
    },
    "resnet110_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 110},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "More than a hundred layers that still train on 50,000 images.",
        "params": 1727962,
        "macs": 252887680,
        "published": (
            ("params", "1.7M", "Table 6, p. 7"),
            ("error, best of 5, %", 6.43, "Table 6, p. 7"),
        ),
    },
    "resnet1202_cifar": {
        "constructor": "CifarResNet",
        "keywords": {"depth": 1202},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.2",
        "input": "3x32x32",
        "introduced": "Over a thousand layers: it trains without difficulty, and overfits.",
        "params": 19421274,
        "macs": 2829238912,
        "published": (("params", "19.4M", "Table 6, p. 7"), ("error, %", 7.93, "Table 6, p. 7")),
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


class ZeroPadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zeros for the channels to come; no parameters."""

    def __init__(self, extra_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra_channels))


def make_shortcut(
    shortcut: str, input_channels: int, channels: int, stride: int, norm_layer: Norm, size: int
) -> nn.Module | None:
    """The path around a block (section 4.1, options A, B and C), or None in a plain network.

    `size` is that of the map it makes.
    """
    changes = stride != 1 or input_channels != channels
    if shortcut not in ("none", "A", "B", "C"):
        raise ValueError(f"shortcut={shortcut}: must be none, A, B or C")
    if shortcut == "none":
        return None
    if shortcut == "C" or (shortcut == "B" and changes):
        conv = nn.Conv2d(input_channels, channels, kernel_size=1, stride=stride, bias=False)
        return nn.Sequential(conv, make_norm(norm_layer, channels, size))
    if not changes:
        return nn.Identity()
    if channels < input_channels:
        raise ValueError(
            f"shortcut=A: cannot narrow {input_channels} channels to {channels}; must be B or C"
        )
    return ZeroPadShortcut(channels - input_channels, stride)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions: N×input_channels×S×S to N×width×(S/stride)², S = `image_size`."""

    expansion = 1

    def __init__(
        self,
        *,
        input_channels: int = 64,
        width: int = 64,
        stride: int = 1,
        shortcut: str = "B",
        image_size: int = 56,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        size = (image_size - 1) // stride + 1
        self.conv1 = nn.Conv2d(input_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = make_norm(norm_layer, width, size)
        self.act1 = make_activation(activation)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm_layer, width, size)
        self.downsample = make_shortcut(shortcut, input_channels, width, stride, norm_layer, size)
        self.act2 = make_activation(activation)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        out: Tensor = self.act2(y)
        return out


def init_he(module: nn.Module) -> None:
    """Convolutions normal with variance 2 / fan-in (He et al. 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")


Block = type[BasicBlock]


def make_stage(
    block: Block,
    count: int,
    input_channels: int,
    width: int,
    stride: int,
    size: int,
    options: dict[str, Any],
) -> nn.Sequential:
    """Blocks of one width; the first takes the stride, on a map of the given size."""
    blocks: list[nn.Module] = []
    for _ in range(count):
        part = block(
            input_channels=input_channels, width=width, stride=stride, image_size=size, **options
        )
        blocks.append(part)
        input_channels, size, stride = width * block.expansion, (size - 1) // stride + 1, 1
    return nn.Sequential(*blocks)


class CifarResNet(nn.Module):
    """The CIFAR-10 network of section 4.2: 6n + 2 layers, three stages of n basic blocks.

    N×C×S×S to N×num_classes; S = `image_size` matters to layer normalisation alone.

    Raises:
        ValueError: a depth that is not 6n + 2, or an unknown choice.
    """

    def __init__(
        self,
        *,
        depth: int = 20,
        shortcut: str = "A",
        width: int = 16,
        num_classes: int = 10,
        input_channels: int = 3,
        image_size: int = 32,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            near = max(8, round((depth - 2) / 6) * 6 + 2)
            raise ValueError(f"depth={depth}: must be 6n + 2, such as {near}")
        options: dict[str, Any] = {"shortcut": shortcut, "norm_layer": norm_layer}
        options["activation"] = activation
        self.conv1 = nn.Conv2d(input_channels, width, 3, padding=1, bias=False)
        self.bn1 = make_norm(norm_layer, width, image_size)
        self.act1 = make_activation(activation)
        size, channels = image_size, width
        for i in range(3):
            stride, stage_width, count = min(i + 1, 2), width * 2**i, (depth - 2) // 6
            stage = make_stage(BasicBlock, count, channels, stage_width, stride, size, options)
            self.add_module(f"layer{i + 1}", stage)
            size, channels = (size - 1) // stride + 1, stage_width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        init_he(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x
