"""Plain and residual networks of He et al. 2016 for ImageNet, shortcuts A, B and C."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

ROWS: dict[str, dict[str, object]] = {
    "resnet": {
        "constructor": "ResNet",
        "keywords": {},
        "source": "He et al. 2016, Deep Residual Learning for Image Recognition, arXiv:1512.03385",
        "input": "3x224x224",
        "introduced": "Blocks that learn a residual to an identity shortcut, to be swept by depth.",
        "params": 25557032,
        "macs": 3857973248,
        "published": (("depths", "18, 34, 50, 101, 152", "Table 1, p. 5"),),
    },
    "plain18": {
        "constructor": "ResNet",
        "keywords": {"depth": 18, "shortcut": "none"},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "ResNet-18 without shortcuts, the control of the degradation experiment.",
        "params": 11515688,
        "macs": 1794805760,
        "published": (
            ("macs", 1.8e9, "Table 1, p. 5"),
            ("top-1 error, 10 crops, %", 27.94, "Table 2, p. 5"),
        ),
    },
    "plain34": {
        "constructor": "ResNet",
        "keywords": {"depth": 34, "shortcut": "none"},
        "source": "He et al. 2016, arXiv:1512.03385, section 3.3",
        "input": "3x224x224",
        "introduced": "Deeper and yet worse than plain-18: the degradation that shortcuts cure.",
        "params": 21623848,
        "macs": 3644493824,
        "published": (
            ("macs", 3.6e9, "Fig. 3, p. 4"),
            ("top-1 error, 10 crops, %", 28.54, "Table 2, p. 5"),
        ),
    },
    "resnet18_a": {
        "constructor": "ResNet",
        "keywords": {"depth": 18, "shortcut": "A"},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "ResNet-18 with parameter-free shortcuts: as many parameters as plain-18.",
        "params": 11515688,
        "macs": 1794805760,
        "published": (
            ("macs", 1.8e9, "Table 1, p. 5"),
            ("top-1 error, 10 crops, %", 27.88, "Table 2, p. 5"),
        ),
    },
    "resnet18_c": {
        "constructor": "ResNet",
        "keywords": {"depth": 18, "shortcut": "C"},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "ResNet-18 with a projection in every shortcut.",
        "params": 12043816,
        "macs": 1878298624,
        "published": (("blocks", "2, 2, 2, 2", "Table 1, p. 5"),),
    },
    "resnet34_a": {
        "constructor": "ResNet",
        "keywords": {"depth": 34, "shortcut": "A"},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "ResNet-34 with parameter-free shortcuts: as many parameters as plain-34.",
        "params": 21623848,
        "macs": 3644493824,
        "published": (
            ("macs", 3.6e9, "Fig. 3, p. 4"),
            ("top-1 error, 10 crops, %", 25.03, "Table 3, p. 6"),
        ),
    },
    "resnet34_c": {
        "constructor": "ResNet",
        "keywords": {"depth": 34, "shortcut": "C"},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "Projections everywhere: hardly better, so not essential.",
        "params": 22716840,
        "macs": 3830747136,
        "published": (("top-1 error, 10 crops, %", 24.19, "Table 3, p. 6"),),
    },
    "resnet50_v1": {
        "constructor": "ResNet",
        "keywords": {"depth": 50},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "The bottleneck block; the stride is in the first 1×1 convolution.",
        "params": 25557032,
        "macs": 3857973248,
        "published": (
            ("macs", 3.8e9, "Table 1, p. 5"),
            ("top-1 error, 10 crops, %", 22.85, "Table 3, p. 6"),
        ),
    },
    "resnet101_v1": {
        "constructor": "ResNet",
        "keywords": {"depth": 101},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "Accuracy still rising at a hundred layers.",
        "params": 44549160,
        "macs": 7570194432,
        "published": (
            ("macs", 7.6e9, "Table 1, p. 5"),
            ("top-1 error, 10 crops, %", 21.75, "Table 3, p. 6"),
        ),
    },
    "resnet152_v1": {
        "constructor": "ResNet",
        "keywords": {"depth": 152},
        "source": "He et al. 2016, arXiv:1512.03385, section 4.1",
        "input": "3x224x224",
        "introduced": "Eight times as deep as VGG yet cheaper; part of ILSVRC 2015's winner.",
        "params": 60192808,
        "macs": 11282415616,
        "published": (
            ("macs", 11.3e9, "Table 1, p. 5"),
            ("top-1 error, 10 crops, %", 21.43, "Table 3, p. 6"),
        ),
    },
    "resnet200": {
        "constructor": "ResNet",
        "keywords": {"depth": 200, "stride_in": "3x3"},
        "source": "He et al. 2016, Identity Mappings in Deep Residual Networks, arXiv:1603.05027",
        "input": "3x224x224",
        "introduced": "Two hundred layers with activations after the addition: it overfits.",
        "params": 64673832,
        "macs": 15007481856,
        "published": (("top-1 error of one 320×320 crop, %", 21.8, "Table 5"),),
    },
    "basic_block": {
        "constructor": "BasicBlock",
        "keywords": {},
        "source": "He et al. 2016, arXiv:1512.03385, Fig. 5 left",
        "input": "64x56x56",
        "introduced": "Two 3×3 convolutions and a shortcut.",
        "params": 73984,
        "macs": 231211008,
        "published": (),
    },
    "bottleneck_block": {
        "constructor": "Bottleneck",
        "keywords": {},
        "source": "He et al. 2016, arXiv:1512.03385, Fig. 5 right",
        "input": "256x56x56",
        "introduced": "A 3×3 convolution between 1×1 ones that narrow and widen its channels.",
        "params": 70400,
        "macs": 218365952,
        "published": (),
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


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1: N×input_channels×S×S to N×4·width×(S/stride)², S = `image_size`.

    `stride_in` names the convolution that carries the stride: `1x1` as published, `3x3` as in
    torchvision, where ResNet-50 costs 6 % more.
    """

    expansion = 4

    def __init__(
        self,
        *,
        input_channels: int = 256,
        width: int = 64,
        stride: int = 1,
        stride_in: str = "1x1",
        shortcut: str = "B",
        image_size: int = 56,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if stride_in not in ("1x1", "3x3"):
            raise ValueError(f"stride_in={stride_in}: must be 1x1 or 3x3")
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        channels = width * self.expansion
        inner, size = (image_size - 1) // first + 1, (image_size - 1) // stride + 1
        self.conv1 = nn.Conv2d(input_channels, width, 1, stride=first, bias=False)
        self.bn1 = make_norm(norm_layer, width, inner)
        self.act1 = make_activation(activation)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=False)
        self.bn2 = make_norm(norm_layer, width, size)
        self.act2 = make_activation(activation)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.bn3 = make_norm(norm_layer, channels, size)
        self.downsample = make_shortcut(
            shortcut, input_channels, channels, stride, norm_layer, size
        )
        self.act3 = make_activation(activation)
        init_he(self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.act2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.downsample is not None:
            y = y + self.downsample(x)
        out: Tensor = self.act3(y)
        return out


def init_he(module: nn.Module) -> None:
    """Convolutions normal with variance 2 / fan-in (He et al. 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")


Block = type[BasicBlock] | type[Bottleneck]

# Table 1: blocks per stage; bottlenecks from 50 layers on. ResNet-200 is of arXiv:1603.05027.
STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}


class ResNet(nn.Module):
    """The ImageNet network of Table 1: N×C×S×S to N×num_classes.

    S = `image_size` matters to layer normalisation alone; any other takes any size.
    `shortcut` is none (a plain network), A (zeros for new channels), B (projections where the
    shape changes) or C (projections everywhere); `stride_in` says which convolution of a bottleneck
    carries the stride.
    Parameters are named as in torchvision, whose `resnet50` is `stride_in="3x3"`.

    Raises:
        ValueError: a depth outside `STAGES`, or an unknown choice.
    """

    def __init__(
        self,
        *,
        depth: int = 50,
        shortcut: str = "B",
        stride_in: str = "1x1",
        width: int = 64,
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 224,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ValueError(f"depth={depth}: must be one of {', '.join(map(str, STAGES))}")
        options: dict[str, Any] = {"shortcut": shortcut, "norm_layer": norm_layer}
        options["activation"] = activation
        block: Block = BasicBlock
        if depth >= 50:
            block = Bottleneck
            options["stride_in"] = stride_in
        size = (image_size - 1) // 2 + 1
        self.conv1 = nn.Conv2d(input_channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = make_norm(norm_layer, width, size)
        self.act1 = make_activation(activation)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        size, channels = (size - 1) // 2 + 1, width
        for i, count in enumerate(STAGES[depth]):
            stride, stage_width = min(i + 1, 2), width * 2**i
            stage = make_stage(block, count, channels, stage_width, stride, size, options)
            self.add_module(f"layer{i + 1}", stage)
            size, channels = (size - 1) // stride + 1, stage_width * block.expansion
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, num_classes)
        init_he(self.conv1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


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
