"""LeNet: the course's 28×28 network, its batch-normalised relatives, and LeNet-5 as of 1998."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "lenet": {
        "constructor": "LeNet",
        "keywords": {},
        "source": "Zhang et al., Dive into Deep Learning, section 7.6, after LeCun et al. 1998",
        "input": "1x28x28",
        "introduced": "Convolution, pooling and fully connected layers trained end to end.",
        "params": 61706,
        "macs": 416520,
        "published": (("last feature map", "16x5x5", "section 7.6"),),
    },
    "lenet5": {
        "constructor": "LeNet",
        "keywords": {"image_size": 32, "padding": 0, "activation": "tanh"},
        "source": "LeCun et al. 1998, section II-B, with a dense C3 and a linear output",
        "input": "1x32x32",
        "introduced": "LeNet-5 as it is usually rewritten: every C3 map sees all six S2 maps.",
        "params": 61706,
        "macs": 416520,
        "published": (("params of C1, C5, F6", "156, 48120, 10164", "section II-B"),),
    },
    "lenet5_1998": {
        "constructor": "LeNet5",
        "keywords": {},
        "source": "LeCun et al. 1998, Gradient-Based Learning Applied to Document Recognition, "
        "Proceedings of the IEEE 86(11), pp. 2278–2324, section II-B",
        "input": "1x32x32",
        "introduced": "Local receptive fields, shared weights and subsampling for reading digits.",
        "params": 60000,
        "macs": 325680,
        "published": (
            ("trainable params", 60000, "section II-B"),
            ("connections", 340908, "section II-B"),
            ("params of C1, S2, C3, S4", "156, 12, 1516, 32", "section II-B"),
            ("connections of C1, S2, C3, S4", "122304, 5880, 151600, 2000", "section II-B"),
            ("connections of C5, params of F6", "48120, 10164", "section II-B"),
        ),
    },
    "lenet_bn": {
        "constructor": "LeNet",
        "keywords": {
            "input_channels": 3,
            "num_classes": 2,
            "activation": "relu",
            "pool": "max",
            "norm_layer": "batch",
        },
        "source": "LeNet with batch normalisation (Ioffe and Szegedy 2015) on its convolutions",
        "input": "3x28x28",
        "introduced": "The LeNet layout with batch normalisation, ReLU and max pooling.",
        "params": 61370,
        "macs": 651048,
        "published": (("place of batch normalisation", "before the nonlinearity", "section 3.2"),),
    },
    "lenet_bn_d2l": {
        "constructor": "LeNet",
        "keywords": {"padding": 0, "norm_layer": "batch", "norm_hidden": True},
        "source": "Zhang et al., Dive into Deep Learning, section 8.5",
        "input": "1x28x28",
        "introduced": "Batch normalisation after every hidden layer, linear ones included.",
        "params": 44878,
        "macs": 281640,
        "published": (("features normalised", "6, 16, 120, 84", "section 8.5"),),
    },
}

# Table I of LeCun et al. 1998: the S2 maps that each of the 16 C3 maps reads.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)

# One 7×12 bitmap per digit, side by side: the fixed targets of the output units (the paper
# prints its own drawings; these are stylised alike, not traced from them).
DIGITS = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...#... .#####. .#####. .....#. ####### ..####. ####### .#####. .#####.
.#...#. ..##... #.....# #.....# ....##. #...... .#..... ......# #.....# #.....#
#.....# .#.#... ......# ......# ...#.#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... .....#. ..####. .#...#. ######. ######. ....#.. .#####. .######
#.....# ...#... ....#.. ......# #....#. ......# #.....# ....#.. #.....# ......#
#.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
.#...#. ...#... .#..... #.....# .....#. #.....# #.....# ..#.... #.....# .....#.
..###.. .#####. ####### .#####. .....#. .#####. .#####. ..#.... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


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


class LeNet(nn.Sequential):
    """Two convolutions with pooling, then three linear layers.

    N×C×S×S to N×num_classes, S = `image_size`.
    `norm_layer` stands between each convolution and its activation; with `norm_hidden` also between
    each hidden linear layer and its activation.
    Weights start Xavier-uniform, as the course book trains it.

    Raises:
        ValueError: a keyword out of range, here or, for an input of another size, in `forward`.
    """

    def __init__(
        self,
        *,
        input_channels: int = 1,
        num_classes: int = 10,
        image_size: int = 28,
        padding: int = 2,
        activation: str | Callable[[], nn.Module] = "sigmoid",
        pool: str = "avg",
        norm_layer: str | Callable[[int], nn.Module] = "none",
        norm_hidden: bool = False,
    ) -> None:
        super().__init__()
        pools = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}
        if pool not in pools:
            raise ValueError(f"pool={pool}: must be avg or max")
        self.image_size = image_size
        channels, size = input_channels, image_size
        for i, (width, pad) in enumerate(((6, padding), (16, 0)), start=1):
            size += 2 * pad - 4
            if size < 2:
                least = 16 - 2 * padding
                raise ValueError(f"image_size={image_size}: must be at least {least} here")
            self.add_module(f"conv{i}", nn.Conv2d(channels, width, kernel_size=5, padding=pad))
            if norm_layer != "none":
                self.add_module(f"bn{i}", make_norm(norm_layer, width, size))
            self.add_module(f"act{i}", make_activation(activation))
            self.add_module(f"pool{i}", pools[pool](kernel_size=2, stride=2))
            channels, size = width, size // 2
        self.add_module("flatten", nn.Flatten())
        features = channels * size * size
        for i, width in enumerate((120, 84), start=1):
            self.add_module(f"fc{i}", nn.Linear(features, width))
            if norm_hidden and norm_layer != "none":
                self.add_module(f"bn{i + 2}", make_vector_norm(norm_layer, width))
            self.add_module(f"act{i + 2}", make_activation(activation))
            features = width
        self.add_module("fc3", nn.Linear(features, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        check_image_size(x, self.image_size)
        for layer in self:
            x = layer(x)
        return x


def make_vector_norm(norm_layer: str | Callable[[int], nn.Module], features: int) -> nn.Module:
    """The same choice for N×features; instance norm has one value per instance there, so none."""
    if norm_layer == "batch":
        return nn.BatchNorm1d(features)
    if norm_layer == "layer":
        return nn.LayerNorm(features)
    if norm_layer == "instance":
        raise ValueError("norm_layer=instance: must be batch, layer, group or none for norm_hidden")
    return make_norm(norm_layer, features, 1)


def check_image_size(x: Tensor, image_size: int) -> None:
    """The first linear layer is built for one input size: say so before it fails."""
    height, width = x.shape[-2:]
    if (height, width) != (image_size, image_size):
        raise ValueError(
            f"input {height}x{width}: this network is built for {image_size}x{image_size}; "
            "build it with another image_size"
        )


class ScaledTanh(nn.Module):
    """f(a) = 1.7159 tanh(2a/3) (LeCun et al. 1998, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """The sum over each 2×2 patch, times a coefficient, plus a bias, both trained, one per map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sum = nn.AvgPool2d(kernel_size=2, stride=2, divisor_override=1)
        self.weight = nn.Parameter(torch.empty(channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.sum(x)
        return x * self.weight + self.bias


class SparseConv2d(nn.Module):
    """A convolution in which each output map reads its own choice of the input maps."""

    def __init__(self, table: tuple[tuple[int, ...], ...], *, kernel_size: int) -> None:
        super().__init__()
        self.table = table
        self.maps = nn.ModuleList(nn.Conv2d(len(maps), 1, kernel_size) for maps in table)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [conv(x[:, maps]) for conv, maps in zip(self.maps, self.table, strict=True)]
        return torch.cat(outputs, dim=1)


class RadialBasis(nn.Module):
    """Squared distance to one fixed ±1 bitmap per digit: N×84 to N×10; the smallest one wins."""

    centers: Tensor

    def __init__(self) -> None:
        super().__init__()
        columns = zip(*(line.split() for line in DIGITS.split("\n") if line), strict=True)
        bitmaps = [[1.0 if dot == "#" else -1.0 for dot in "".join(rows)] for rows in columns]
        self.register_buffer("centers", torch.tensor(bitmaps))

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None, :] - self.centers).square().sum(dim=2)


class LeNet5(nn.Sequential):
    """LeNet-5 as published: N×1×32×32 to N×10 squared distances, the smallest for the digit read.

    Weights start uniform within ±2.4 over the fan-in (appendix A).

    Raises:
        ValueError: `forward` on another size than 32×32.
    """

    def __init__(self, *, input_channels: int = 1) -> None:
        super().__init__()
        self.add_module("c1", nn.Conv2d(input_channels, 6, kernel_size=5))
        self.add_module("act1", ScaledTanh())
        self.add_module("s2", Subsampling(6))
        self.add_module("act2", ScaledTanh())
        self.add_module("c3", SparseConv2d(C3_TABLE, kernel_size=5))
        self.add_module("act3", ScaledTanh())
        self.add_module("s4", Subsampling(16))
        self.add_module("act4", ScaledTanh())
        self.add_module("c5", nn.Conv2d(16, 120, kernel_size=5))
        self.add_module("act5", ScaledTanh())
        self.add_module("flatten", nn.Flatten())
        self.add_module("f6", nn.Linear(120, 84))
        self.add_module("act6", ScaledTanh())
        self.add_module("output", RadialBasis())
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | Subsampling):
                bound = 2.4 / (4 if isinstance(module, Subsampling) else module.weight[0].numel())
                nn.init.uniform_(module.weight, -bound, bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_image_size(x, 32)
        for layer in self:
            x = layer(x)
        return x
