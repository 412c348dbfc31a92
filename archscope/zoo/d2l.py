"""The residual and dense networks of Dive into Deep Learning, biases included, for one channel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "resnet18_d2l": {
        "constructor": "ResNet18",
        "keywords": {},
        "source": "Zhang et al., Dive into Deep Learning, section 8.6",
        "input": "1x96x96",
        "introduced": "ResNet-18 with biases in its convolutions and no norm in its projections.",
        "params": 11178378,
        "macs": 318657536,
        "published": (("last feature map", "512x3x3", "section 8.6"),),
    },
    "densenet_d2l": {
        "constructor": "DenseNet",
        "keywords": {},
        "source": "Zhang et al., Dive into Deep Learning, section 8.7",
        "input": "1x96x96",
        "introduced": "Four dense blocks of four 3×3 convolutions, without bottlenecks.",
        "params": 758226,
        "macs": 129077168,
        "published": (("convolutions per dense block", "4, 4, 4, 4", "section 8.7"),),
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


def check_smallest(x: Tensor, least: int) -> None:
    """Poolings leave nothing of a smaller input: say so before they fail."""
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"input {height}x{width}: must be at least {least}x{least} here")


def init_xavier(network: nn.Module) -> None:
    """Convolutions and linear layers Xavier-uniform, as the book trains its networks."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)


class Residual(nn.Module):
    """Two 3×3 convolutions beside an identity, or beside a 1×1 convolution without a norm."""

    def __init__(
        self,
        input_channels: int,
        channels: int,
        stride: int,
        size: int,
        norm_layer: Norm,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, channels, 3, stride=stride, padding=1)
        self.bn1 = make_norm(norm_layer, channels, size)
        self.act1 = make_activation(activation)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = make_norm(norm_layer, channels, size)
        self.conv3: nn.Module = nn.Identity()
        if stride != 1 or input_channels != channels:
            self.conv3 = nn.Conv2d(input_channels, channels, 1, stride=stride)
        self.act2 = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.act2(y + self.conv3(x))
        return out


def make_stem(
    input_channels: int, width: int, size: int, norm_layer: Norm, activation: Activation
) -> nn.Sequential:
    """7×7 convolution with stride 2 to size×size, norm, activation, 3×3 pooling with stride 2."""
    stem = nn.Sequential()
    stem.add_module("conv", nn.Conv2d(input_channels, width, 7, stride=2, padding=3))
    stem.add_module("bn", make_norm(norm_layer, width, size))
    stem.add_module("act", make_activation(activation))
    stem.add_module("pool", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
    return stem


class ResNet18(nn.Sequential):
    """N×C×S×S to N×num_classes; S = `image_size` matters to layer normalisation alone."""

    def __init__(
        self,
        *,
        width: int = 64,
        num_classes: int = 10,
        input_channels: int = 1,
        image_size: int = 96,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        size, channels = (image_size - 1) // 2 + 1, width
        stem = make_stem(input_channels, width, size, norm_layer, activation)
        self.add_module("stage1", stem)
        size = (size - 1) // 2 + 1
        for i in range(4):
            stage, stage_width = nn.Sequential(), width * 2**i
            for j in range(2):
                stride = 2 if i > 0 and j == 0 else 1
                size = (size - 1) // stride + 1
                block = Residual(channels, stage_width, stride, size, norm_layer, activation)
                stage.append(block)
                channels = stage_width
            self.add_module(f"stage{i + 2}", stage)
        self.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc", nn.Linear(channels, num_classes))
        init_xavier(self)


class DenseStage(nn.Module):
    """Norm, activation and 3×3 convolution, `count` times, each appended to what it has read."""

    def __init__(
        self, input_channels: int, count: int, growth_rate: int, size: int, options: dict[str, Any]
    ) -> None:
        super().__init__()
        for i in range(count):
            layer = nn.Sequential()
            channels = input_channels + i * growth_rate
            layer.add_module("bn", make_norm(options["norm_layer"], channels, size))
            layer.add_module("act", make_activation(options["activation"]))
            layer.add_module("conv", nn.Conv2d(channels, growth_rate, 3, padding=1))
            self.add_module(f"layer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseNet(nn.Sequential):
    """N×C×S×S to N×num_classes for S of 29 or more; between dense stages maps and size are halved.

    Raises:
        ValueError: a growth rate below 1, or an input, in `forward` too, that the poolings exhaust.
    """

    least = 29  # the stem leaves 8, three transitions 1

    def __init__(
        self,
        *,
        growth_rate: int = 32,
        num_convs: int = 4,
        num_classes: int = 10,
        input_channels: int = 1,
        image_size: int = 96,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        for keyword, value in (("growth_rate", growth_rate), ("num_convs", num_convs)):
            if value < 1:
                raise ValueError(f"{keyword}={value}: must be at least 1")
        if image_size < self.least:
            raise ValueError(f"image_size={image_size}: must be at least {self.least}")
        size, channels = (image_size - 1) // 2 + 1, 64
        stem = make_stem(input_channels, channels, size, norm_layer, activation)
        self.add_module("stem", stem)
        size = (size - 1) // 2 + 1
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation": activation}
        for i in range(1, 5):
            dense = DenseStage(channels, num_convs, growth_rate, size, options)
            self.add_module(f"dense{i}", dense)
            channels += num_convs * growth_rate
            if i < 4:
                transition = nn.Sequential()
                transition.add_module("bn", make_norm(norm_layer, channels, size))
                transition.add_module("act", make_activation(activation))
                transition.add_module("conv", nn.Conv2d(channels, channels // 2, 1))
                transition.add_module("pool", nn.AvgPool2d(kernel_size=2, stride=2))
                self.add_module(f"transition{i}", transition)
                channels, size = channels // 2, size // 2
        self.add_module("bn", make_norm(norm_layer, channels, size))
        self.add_module("act", make_activation(activation))
        self.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc", nn.Linear(channels, num_classes))
        init_xavier(self)

    def forward(self, x: Tensor) -> Tensor:
        check_smallest(x, self.least)
        for layer in self:
            x = layer(x)
        return x
