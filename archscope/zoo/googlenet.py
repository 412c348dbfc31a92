"""GoogLeNet of Szegedy et al. 2015, 5×5 branch included, and the book's version."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "googlenet_2015": {
        "constructor": "GoogLeNet",
        "keywords": {},
        "source": "Szegedy et al. 2015, Going Deeper with Convolutions, arXiv:1409.4842, Table 1",
        "input": "3x224x224",
        "introduced": "Parallel branches of several kernel sizes, narrowed by 1×1 convolutions.",
        "params": 6998552,
        "macs": 1582671872,
        "published": (
            ("budget of macs", "1.5 billion", "section 1"),
            ("top-5 error of seven networks, %", 6.67, "Table 3"),
        ),
    },
    "googlenet_2015_auxiliary": {
        "constructor": "GoogLeNet",
        "keywords": {"auxiliary": True},
        "source": "Szegedy et al. 2015, Going Deeper with Convolutions, arXiv:1409.4842, section 5",
        "input": "3x224x224",
        "introduced": "Two more classifiers halfway up, whose losses count 0.3 while training.",
        "params": 13378280,
        "macs": 1591044096,
        "published": (("weight of the auxiliary losses", 0.3, "section 5"),),
    },
    "googlenet_d2l": {
        "constructor": "GoogLeNet",
        "keywords": {
            "norm_layer": "none",
            "pool_padding": 1,
            "dropout": 0.0,
            "input_channels": 1,
            "num_classes": 10,
            "image_size": 96,
        },
        "source": "Zhang et al., Dive into Deep Learning, section 8.4",
        "input": "1x96x96",
        "introduced": "GoogLeNet for Fashion-MNIST at 96×96, without response normalisation.",
        "params": 5977530,
        "macs": 276066304,
        "published": (("feature map before the last module", "832x3x3", "section 8.4"),),
    },
    "inception_block": {
        "constructor": "Inception",
        "keywords": {},
        "source": "Szegedy et al. 2015, arXiv:1409.4842, Fig. 2(b) and Table 1 (3a)",
        "input": "192x28x28",
        "introduced": "1×1, 3×3 and 5×5 convolutions and pooling side by side.",
        "params": 163696,
        "macs": 128049152,
        "published": (("params of 3a", "159K", "Table 1"), ("macs of 3a", "128M", "Table 1")),
    },
}

Norm = str | Callable[[int], nn.Module]
Activation = str | Callable[[], nn.Module]


# Table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj of each inception block.
STAGES = {
    3: {"a": (64, 96, 128, 16, 32, 32), "b": (128, 128, 192, 32, 96, 64)},
    4: {
        "a": (192, 96, 208, 16, 48, 64),
        "b": (160, 112, 224, 24, 64, 64),
        "c": (128, 128, 256, 24, 64, 64),
        "d": (112, 144, 288, 32, 64, 64),
        "e": (256, 160, 320, 32, 128, 128),
    },
    5: {"a": (256, 160, 320, 32, 128, 128), "b": (384, 192, 384, 48, 128, 128)},
}


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


def check_image_size(x: Tensor, image_size: int) -> None:
    """The first linear layer is built for one input size: say so before it fails."""
    height, width = x.shape[-2:]
    if (height, width) != (image_size, image_size):
        raise ValueError(
            f"input {height}x{width}: this network is built for {image_size}x{image_size}; "
            "build it with another image_size"
        )


class Inception(nn.Module):
    """Four branches joined along the channels: N×C×S×S to N×(sum of the four)×S×S.

    The widths are the columns of Table 1; `norm_layer` stands between each convolution and its
    activation; weights start Xavier-uniform.
    """

    def __init__(
        self,
        *,
        input_channels: int = 192,
        conv1x1: int = 64,
        reduce3x3: int = 96,
        conv3x3: int = 128,
        reduce5x5: int = 16,
        conv5x5: int = 32,
        pool_proj: int = 32,
        image_size: int = 28,
        norm_layer: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        convs = {
            "branch1": ((input_channels, conv1x1, 1),),
            "branch2": ((input_channels, reduce3x3, 1), (reduce3x3, conv3x3, 3)),
            "branch3": ((input_channels, reduce5x5, 1), (reduce5x5, conv5x5, 5)),
            "branch4": ((input_channels, pool_proj, 1),),
        }
        for name, plan in convs.items():
            branch = nn.Sequential()
            if name == "branch4":
                branch.add_module("pool", nn.MaxPool2d(kernel_size=3, stride=1, padding=1))
            for i, (before, after, kernel) in enumerate(plan, start=1):
                add_conv(
                    branch, str(i), before, after, kernel, 1, image_size, norm_layer, activation
                )
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], dim=1)


def add_conv(
    layers: nn.Sequential,
    label: str,
    input_channels: int,
    channels: int,
    kernel: int,
    stride: int,
    size: int,
    norm_layer: Norm,
    activation: Activation,
) -> None:
    """A convolution that keeps the size but for its stride, perhaps a norm, and an activation."""
    conv = nn.Conv2d(input_channels, channels, kernel, stride=stride, padding=kernel // 2)
    nn.init.xavier_uniform_(conv.weight)
    layers.add_module(f"conv{label}", conv)
    if norm_layer != "none":
        layers.add_module(f"bn{label}", make_norm(norm_layer, channels, size))
    layers.add_module(f"act{label}", make_activation(activation))


class AuxiliaryHead(nn.Sequential):
    """The classifier on inception (4a) or (4d): N×C×S×S to N×num_classes (section 5)."""

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        size: int,
        norm_layer: Norm,
        activation: Activation,
    ) -> None:
        super().__init__()
        size = (size - 5) // 3 + 1
        self.add_module("pool", nn.AvgPool2d(kernel_size=5, stride=3))
        add_conv(self, "1", input_channels, 128, 1, 1, size, norm_layer, activation)
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc1", nn.Linear(128 * size * size, 1024))
        self.add_module("act2", make_activation(activation))
        self.add_module("drop", nn.Dropout(0.7))
        self.add_module("fc2", nn.Linear(1024, num_classes))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)


def map_sizes(image_size: int, pool_padding: int) -> tuple[int, ...]:
    """Height and width of the maps in stages 1 to 5, each after the pooling before it."""
    sizes = [(image_size - 1) // 2 + 1]
    for _ in range(4):
        sizes.append((sizes[-1] + pool_padding) // 2)
    return tuple(sizes)


class GoogLeNet(nn.Module):
    """Table 1: N×C×S×S to N×num_classes; with `auxiliary` a tuple of the classifier and both heads.

    `norm_layer="local_response"` normalises in the stem alone (Fig. 3); any other choice stands
    between each convolution and its activation.
    `pool_padding` pads the 3×3 poolings with stride 2; with 0 they round up instead, to the same
    sizes on 224×224.
    S = `image_size` matters to layer normalisation and to the auxiliary heads alone.

    Raises:
        ValueError: an unknown choice, or an input, in `forward` too, that the poolings exhaust.
    """

    def __init__(
        self,
        *,
        auxiliary: bool = False,
        pool_padding: int = 0,
        dropout: float = 0.4,
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 224,
        norm_layer: Norm = "local_response",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if pool_padding not in (0, 1):
            raise ValueError(f"pool_padding={pool_padding}: must be 0 or 1")
        self.least = next(
            size
            for size in range(1, 100)
            if map_sizes(size, pool_padding)[4] > 0
            and (not auxiliary or map_sizes(size, pool_padding)[3] >= 5)
        )
        if image_size < self.least:
            raise ValueError(f"image_size={image_size}: must be at least {self.least} here")
        self.image_size = image_size
        sizes = map_sizes(image_size, pool_padding)
        norm = "none" if norm_layer == "local_response" else norm_layer
        self.stage1 = nn.Sequential()
        add_conv(self.stage1, "1", input_channels, 64, 7, 2, sizes[0], norm, activation)
        self.stage1.add_module("pool1", make_pool(pool_padding))
        self.stage2 = nn.Sequential()
        add_conv(self.stage2, "2_reduce", 64, 64, 1, 1, sizes[1], norm, activation)
        add_conv(self.stage2, "2", 64, 192, 3, 1, sizes[1], norm, activation)
        if norm_layer == "local_response":
            # torch divides alpha by the window of 5; the definition does not
            self.stage1.add_module("lrn1", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
            self.stage2.add_module("lrn2", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
        self.stage2.add_module("pool2", make_pool(pool_padding))
        self.stage3 = inception_stage(3, 192, sizes[2], norm, activation)
        self.stage3.add_module("pool3", make_pool(pool_padding))
        self.stage4 = inception_stage(4, 480, sizes[3], norm, activation)
        self.stage4.add_module("pool4", make_pool(pool_padding))
        self.stage5 = inception_stage(5, 832, sizes[4], norm, activation)
        self.stage5.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        self.stage5.add_module("flatten", nn.Flatten())
        if dropout > 0:
            self.stage5.add_module("drop", nn.Dropout(dropout))
        self.fc = nn.Linear(1024, num_classes)
        nn.init.xavier_uniform_(self.fc.weight)
        self.heads = nn.ModuleDict()
        if auxiliary:
            for name, channels in (("inception4a", 512), ("inception4d", 528)):
                self.heads[name] = AuxiliaryHead(channels, num_classes, sizes[3], norm, activation)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if self.heads:
            check_image_size(x, self.image_size)
        check_smallest(x, self.least)
        x = self.stage3(self.stage2(self.stage1(x)))
        outputs: list[Tensor] = []
        for name, layer in self.stage4.named_children():
            x = layer(x)
            if name in self.heads:
                outputs.append(self.heads[name](x))
        x = self.fc(self.stage5(x))
        return (x, *outputs) if outputs else x


def make_pool(padding: int) -> nn.Module:
    return nn.MaxPool2d(kernel_size=3, stride=2, padding=padding, ceil_mode=padding == 0)


def inception_stage(
    number: int, input_channels: int, size: int, norm_layer: Norm, activation: Activation
) -> nn.Sequential:
    """The inception blocks of one stage, at one size."""
    stage = nn.Sequential()
    keywords = ("conv1x1", "reduce3x3", "conv3x3", "reduce5x5", "conv5x5", "pool_proj")
    for letter, widths in STAGES[number].items():
        table: dict[str, Any] = dict(zip(keywords, widths, strict=True))
        block = Inception(
            input_channels=input_channels,
            image_size=size,
            norm_layer=norm_layer,
            activation=activation,
            **table,
        )
        stage.add_module(f"inception{number}{letter}", block)
        input_channels = widths[0] + widths[2] + widths[4] + widths[5]
    return stage
