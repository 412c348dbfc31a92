"""Network in Network of Lin et al. 2014: CIFAR, ImageNet, and the book's version."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "nin": {
        "constructor": "NiN",
        "keywords": {},
        "source": "Lin et al. 2014, Network in Network, arXiv:1312.4400; widths as released",
        "input": "3x32x32",
        "introduced": "1×1 convolutions inside a layer, and global average pooling as classifier.",
        "params": 966986,
        "macs": 222486528,
        "published": (("test error on CIFAR-10 without augmentation, %", 10.41, "Table 1"),),
    },
    "nin_imagenet": {
        "constructor": "NiN",
        "keywords": {"layout": "imagenet", "num_classes": 1000, "image_size": 224},
        "source": "the authors’ ImageNet model in the Caffe Model Zoo, after arXiv:1312.4400",
        "input": "3x224x224",
        "introduced": "AlexNet’s accuracy with an eighth of its parameters.",
        "params": 7595176,
        "macs": 1100188800,
        "published": (
            ("size of the weights", "29 MB", "Caffe Model Zoo"),
            ("top-1 accuracy, %", 59.36, "Caffe Model Zoo, validation set"),
        ),
    },
    "nin_d2l": {
        "constructor": "NiN",
        "keywords": {"layout": "d2l", "input_channels": 1, "image_size": 224},
        "source": "Zhang et al., Dive into Deep Learning, section 8.3",
        "input": "1x224x224",
        "introduced": "Network in Network on AlexNet’s layout, for Fashion-MNIST at 224×224.",
        "params": 1992166,
        "macs": 762297352,
        "published": (("last feature map", "10x5x5", "section 8.3"),),
    },
    "nin_block": {
        "constructor": "NiNBlock",
        "keywords": {},
        "source": "Lin et al. 2014, arXiv:1312.4400, sec. 3.1; Dive into Deep Learning, 8.3",
        "input": "1x224x224",
        "introduced": "A convolution followed by two 1×1: a small network slid over the image.",
        "params": 30336,
        "macs": 87619968,
        "published": (),
    },
}

Norm = str | Callable[[int], nn.Module]
Activation = str | Callable[[], nn.Module]


# Per block: channels of its three convolutions (None: the classes), kernel, stride and padding of
# the first, and what follows it.
Stage = tuple[tuple[int | None, int | None, int | None], tuple[int, int, int], tuple[str, ...]]
LAYOUTS: dict[str, tuple[Stage, ...]] = {
    "cifar": (
        ((192, 160, 96), (5, 1, 2), ("max_ceil", "drop")),
        ((192, 192, 192), (5, 1, 2), ("avg_ceil", "drop")),
        ((192, 192, None), (3, 1, 1), ()),
    ),
    "imagenet": (
        ((96, 96, 96), (11, 4, 0), ("max_ceil",)),
        ((256, 256, 256), (5, 1, 2), ("max_ceil",)),
        ((384, 384, 384), (3, 1, 1), ("max_ceil", "drop")),
        ((1024, 1024, None), (3, 1, 1), ()),
    ),
    "d2l": (
        ((96, 96, 96), (11, 4, 0), ("max",)),
        ((256, 256, 256), (5, 1, 2), ("max",)),
        ((384, 384, 384), (3, 1, 1), ("max", "drop")),
        ((None, None, None), (3, 1, 1), ()),
    ),
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


class NiNBlock(nn.Sequential):
    """One convolution, then two 1×1: N×input_channels×S×S to N×widths[2]×S′×S′.

    `norm_layer` stands between each convolution and its activation; weights start Xavier-uniform.

    Raises:
        ValueError: not three widths, or a kernel larger than the padded input.
    """

    def __init__(
        self,
        *,
        input_channels: int = 1,
        widths: tuple[int, ...] = (96, 96, 96),
        kernel_size: int = 11,
        stride: int = 4,
        padding: int = 0,
        image_size: int = 224,
        norm_layer: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if len(widths) != 3:
            raise ValueError(f"widths={widths}: must be three numbers of channels")
        size = (image_size + 2 * padding - kernel_size) // stride + 1
        if size < 1:
            least = kernel_size - 2 * padding
            raise ValueError(f"image_size={image_size}: must be at least {least} here")
        for i, width in enumerate(widths, start=1):
            kernel, step, pad = (kernel_size, stride, padding) if i == 1 else (1, 1, 0)
            conv = nn.Conv2d(input_channels, width, kernel, stride=step, padding=pad)
            nn.init.xavier_uniform_(conv.weight)
            self.add_module(f"conv{i}", conv)
            if norm_layer != "none":
                self.add_module(f"bn{i}", make_norm(norm_layer, width, size))
            self.add_module(f"act{i}", make_activation(activation))
            input_channels = width


class NiN(nn.Sequential):
    """Blocks with pooling between them, then one average per class: N×C×S×S to N×num_classes.

    `layout` is a row of `LAYOUTS`; S = `image_size` matters to layer normalisation alone.

    Raises:
        ValueError: an unknown layout, or an input, in `forward` too, that the poolings exhaust.
    """

    def __init__(
        self,
        *,
        layout: str = "cifar",
        dropout: float = 0.5,
        num_classes: int = 10,
        input_channels: int = 3,
        image_size: int = 32,
        norm_layer: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if layout not in LAYOUTS:
            raise ValueError(f"layout={layout}: must be one of {', '.join(LAYOUTS)}")
        self.least = next(size for size in range(1, 1000) if final_size(layout, size) > 0)
        if image_size < self.least:
            raise ValueError(f"image_size={image_size}: must be at least {self.least} here")
        size = image_size
        for i, (channels, (kernel, stride, padding), then) in enumerate(LAYOUTS[layout], start=1):
            widths = tuple(num_classes if c is None else c for c in channels)
            block = NiNBlock(
                input_channels=input_channels,
                widths=widths,
                kernel_size=kernel,
                stride=stride,
                padding=padding,
                image_size=size,
                norm_layer=norm_layer,
                activation=activation,
            )
            self.add_module(f"block{i}", block)
            input_channels = widths[2]
            size = (size + 2 * padding - kernel) // stride + 1
            for name in then:
                label = "drop" if name == "drop" else "pool"
                self.add_module(f"{label}{i}", make_follower(name, dropout))
            if then:
                size = pooled(size, then[0])
        self.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        check_smallest(x, self.least)
        for layer in self:
            x = layer(x)
        return x


def make_follower(name: str, dropout: float) -> nn.Module:
    """What stands between two blocks: 3×3 pooling with stride 2, or dropout."""
    if name == "drop":
        return nn.Dropout(dropout)
    if name == "avg_ceil":
        return nn.AvgPool2d(kernel_size=3, stride=2, ceil_mode=True)
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=name == "max_ceil")


def pooled(size: int, pool: str) -> int:
    """The size after 3×3 pooling with stride 2, rounded up or down."""
    return size // 2 if pool.endswith("ceil") else (size - 3) // 2 + 1


def final_size(layout: str, size: int) -> int:
    """The size of the map that is averaged at the end, 0 where the layout exhausts the input."""
    for _, (kernel, stride, padding), then in LAYOUTS[layout]:
        size = (size + 2 * padding - kernel) // stride + 1
        if size < 1:
            return 0
        if then:
            size = pooled(size, then[0])
    return max(size, 0)
