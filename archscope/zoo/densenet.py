"""DenseNet of Huang et al. 2017: ImageNet's 264 layers, and the CIFAR family."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "densenet": {
        "constructor": "DenseNet",
        "keywords": {},
        "source": "Huang et al. 2017, Densely Connected Convolutional Networks, arXiv:1608.06993",
        "input": "3x224x224",
        "introduced": "Every layer reads all earlier maps of its block and adds a few of its own.",
        "params": 7978856,
        "macs": 2834161664,
        "published": (("depths", "121, 169, 201, 264", "Table 1"),),
    },
    "densenet264": {
        "constructor": "DenseNet",
        "keywords": {"depth": 264},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 1",
        "input": "3x224x224",
        "introduced": "The deepest of the paper's ImageNet networks.",
        "params": 33337704,
        "macs": 5751653376,
        "published": (
            ("top-1 error, single crop, %", 22.15, "Table 3"),
            ("top-1 error, 10 crops, %", 20.8, "Table 3"),
        ),
    },
    "densenet_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {},
        "source": "Huang et al. 2017, arXiv:1608.06993, section 3",
        "input": "3x32x32",
        "introduced": "Three dense blocks for 32×32 images, to be swept by depth and growth rate.",
        "params": 1019722,
        "macs": 264812928,
        "published": (("depths", "40, 100; DenseNet-BC 100, 190, 250", "section 3"),),
    },
    "densenet40_k12_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 40, "growth_rate": 12},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "ResNet-110's accuracy and better with fewer parameters.",
        "params": 1019722,
        "macs": 264812928,
        "published": (
            ("params", "1.0M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 5.24, "Table 2"),
        ),
    },
    "densenet100_k12_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 100, "growth_rate": 12},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "A hundred narrow layers without bottlenecks.",
        "params": 6979642,
        "macs": 1769516448,
        "published": (
            ("params", "7.0M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 4.1, "Table 2"),
        ),
    },
    "densenet100_k24_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 100, "growth_rate": 24},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "The largest CIFAR network without bottlenecks.",
        "params": 27249082,
        "macs": 6889347744,
        "published": (
            ("params", "27.2M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 3.74, "Table 2"),
        ),
    },
    "densenet_bc100_k12_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 100, "growth_rate": 12, "bottleneck": 4, "compression": 0.5},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "Bottlenecks and compression: a ninth of the parameters of its plain twin.",
        "params": 769162,
        "macs": 287929692,
        "published": (
            ("params", "0.8M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 4.51, "Table 2"),
        ),
    },
    "densenet_bc250_k24_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 250, "growth_rate": 24, "bottleneck": 4, "compression": 0.5},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "Two hundred and fifty layers with bottlenecks and compression.",
        "params": 15324406,
        "macs": 5418785724,
        "published": (
            ("params", "15.3M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 3.62, "Table 2"),
        ),
    },
    "densenet_bc190_k40_cifar": {
        "constructor": "CifarDenseNet",
        "keywords": {"depth": 190, "growth_rate": 40, "bottleneck": 4, "compression": 0.5},
        "source": "Huang et al. 2017, arXiv:1608.06993, Table 2",
        "input": "3x32x32",
        "introduced": "The paper's best on CIFAR.",
        "params": 25624430,
        "macs": 9301945740,
        "published": (
            ("params", "25.6M", "Table 2"),
            ("error on CIFAR-10 with augmentation, %", 3.46, "Table 2"),
        ),
    },
    "dense_block": {
        "constructor": "DenseBlock",
        "keywords": {},
        "source": "Huang et al. 2017, arXiv:1608.06993, section 3",
        "input": "3x8x8",
        "introduced": "Each convolution's maps are appended to all that came before.",
        "params": 1472,
        "macs": 92160,
        "published": (),
    },
    "transition_block": {
        "constructor": "Transition",
        "keywords": {},
        "source": "Huang et al. 2017, arXiv:1608.06993, section 3",
        "input": "23x8x8",
        "introduced": "A 1×1 convolution and 2×2 average pooling between dense blocks.",
        "params": 276,
        "macs": 14720,
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


class DenseLayer(nn.Sequential):
    """Norm, activation, 3×3 convolution to `growth_rate` maps.

    With `bottleneck` = b > 0 a norm, activation and 1×1 convolution to b·growth_rate maps precede.
    """

    def __init__(
        self,
        *,
        input_channels: int,
        growth_rate: int,
        bottleneck: int,
        image_size: int,
        norm_layer: Norm,
        activation: Activation,
    ) -> None:
        super().__init__()
        plan = [(growth_rate, 3)]
        if bottleneck > 0:
            plan.insert(0, (bottleneck * growth_rate, 1))
        channels = input_channels
        for i, (width, kernel) in enumerate(plan, start=1):
            self.add_module(f"norm{i}", make_norm(norm_layer, channels, image_size))
            self.add_module(f"act{i}", make_activation(activation))
            conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            self.add_module(f"conv{i}", conv)
            channels = width


class DenseBlock(nn.Module):
    """N×C×S×S to N×(C + num_convs·growth_rate)×S×S: each layer reads all maps before it."""

    def __init__(
        self,
        *,
        input_channels: int = 3,
        num_convs: int = 2,
        growth_rate: int = 10,
        bottleneck: int = 0,
        image_size: int = 8,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        for keyword, value in (("num_convs", num_convs), ("growth_rate", growth_rate)):
            if value < 1:
                raise ValueError(f"{keyword}={value}: must be at least 1")
        if bottleneck < 0:
            raise ValueError(f"bottleneck={bottleneck}: must be 0 (none) or more")
        for i in range(num_convs):
            layer = DenseLayer(
                input_channels=input_channels + i * growth_rate,
                growth_rate=growth_rate,
                bottleneck=bottleneck,
                image_size=image_size,
                norm_layer=norm_layer,
                activation=activation,
            )
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Sequential):
    """Norm, activation, 1×1 convolution and pooling: N×C×S×S to N×output_channels×(S/2)²."""

    def __init__(
        self,
        *,
        input_channels: int = 23,
        output_channels: int = 10,
        image_size: int = 8,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.add_module("norm", make_norm(norm_layer, input_channels, image_size))
        self.add_module("act", make_activation(activation))
        conv = nn.Conv2d(input_channels, output_channels, kernel_size=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.add_module("conv", conv)
        self.add_module("pool", nn.AvgPool2d(kernel_size=2, stride=2))


def check_smallest(x: Tensor, least: int) -> None:
    """Poolings leave nothing of a smaller input: say so before they fail."""
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"input {height}x{width}: must be at least {least}x{least} here")


# Table 1: layers per dense block; 161 is the authors' k = 48 network.
STAGES = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}


class DenseNet(nn.Module):
    """The ImageNet network of Table 1: N×C×S×S to N×num_classes, for S of 29 or more.

    The stem has 2·growth_rate maps; `bottleneck` is the width of the 1×1 convolutions in growth
    rates (0: none) and `compression` the share of maps that a transition keeps.
    Parameters are named as in torchvision.

    Raises:
        ValueError: a depth outside `STAGES`, a value out of range, or in `forward` a small input.
    """

    least = 29  # the stem leaves 8, three transitions 1

    def __init__(
        self,
        *,
        depth: int = 121,
        growth_rate: int = 32,
        bottleneck: int = 4,
        compression: float = 0.5,
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 224,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ValueError(f"depth={depth}: must be one of {', '.join(map(str, STAGES))}")
        if image_size < self.least:
            raise ValueError(f"image_size={image_size}: must be at least {self.least}")
        width, size = 2 * growth_rate, (image_size - 1) // 2 + 1
        self.features = nn.Sequential()
        stem = nn.Conv2d(input_channels, width, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, nonlinearity="relu")
        self.features.add_module("conv0", stem)
        self.features.add_module("norm0", make_norm(norm_layer, width, size))
        self.features.add_module("act0", make_activation(activation))
        self.features.add_module("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation": activation}
        dense: dict[str, Any] = {"growth_rate": growth_rate, "bottleneck": bottleneck}
        size = (size - 1) // 2 + 1
        width, size = add_dense_stages(
            self.features, STAGES[depth], width, size, compression, dense, options
        )
        self.features.add_module("norm5", make_norm(norm_layer, width, size))
        self.features.add_module("act5", make_activation(activation))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, num_classes)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_smallest(x, self.least)
        for layer in self.children():
            x = layer(x)
        return x


def add_dense_stages(
    features: nn.Sequential,
    counts: tuple[int, ...],
    width: int,
    size: int,
    compression: float,
    dense: dict[str, Any],
    options: dict[str, Any],
) -> tuple[int, int]:
    """Dense blocks with a transition between two of them; returns the last width and size."""
    if not 0 < compression <= 1:
        raise ValueError(f"compression={compression}: must be above 0 and at most 1")
    for i, count in enumerate(counts, start=1):
        block = DenseBlock(
            input_channels=width, num_convs=count, image_size=size, **dense, **options
        )
        features.add_module(f"denseblock{i}", block)
        width += count * dense["growth_rate"]
        if i < len(counts):
            compressed = int(width * compression)
            transition = Transition(
                input_channels=width, output_channels=compressed, image_size=size, **options
            )
            features.add_module(f"transition{i}", transition)
            width, size = compressed, size // 2
    return width, size


class CifarDenseNet(nn.Module):
    """The CIFAR network of section 3: N×C×S×S to N×num_classes, for S of 4 or more.

    Three dense blocks of (depth − 4)/3 layers, or half as many with bottlenecks; the stem has
    2·growth_rate maps with bottlenecks and compression (DenseNet-BC) and 16 otherwise.

    Raises:
        ValueError: a depth that does not divide so, a value out of range, or a small input.
    """

    least = 4

    def __init__(
        self,
        *,
        depth: int = 40,
        growth_rate: int = 12,
        bottleneck: int = 0,
        compression: float = 1.0,
        num_classes: int = 10,
        input_channels: int = 3,
        image_size: int = 32,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        step = 6 if bottleneck > 0 else 3
        if depth < step + 4 or (depth - 4) % step != 0:
            near = max(1, round((depth - 4) / step)) * step + 4
            raise ValueError(f"depth={depth}: must be {step}n + 4, such as {near}")
        if image_size < self.least:
            raise ValueError(f"image_size={image_size}: must be at least {self.least}")
        width = 2 * growth_rate if bottleneck > 0 and compression < 1 else 16
        self.features = nn.Sequential()
        stem = nn.Conv2d(input_channels, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, nonlinearity="relu")
        self.features.add_module("conv0", stem)
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation": activation}
        dense: dict[str, Any] = {"growth_rate": growth_rate, "bottleneck": bottleneck}
        counts = ((depth - 4) // step,) * 3
        width, size = add_dense_stages(
            self.features, counts, width, image_size, compression, dense, options
        )
        self.features.add_module("norm4", make_norm(norm_layer, width, size))
        self.features.add_module("act4", make_activation(activation))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, num_classes)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_smallest(x, self.least)
        for layer in self.children():
            x = layer(x)
        return x
