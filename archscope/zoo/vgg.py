"""VGG of Simonyan and Zisserman 2015, configurations A to E, and the book's VGG-11."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "vgg": {
        "constructor": "VGG",
        "keywords": {},
        "source": "Simonyan and Zisserman 2015, Very Deep Convolutional Networks, arXiv:1409.1556",
        "input": "3x224x224",
        "introduced": "Depth from stacked 3×3 convolutions, to be swept over columns A to E.",
        "params": 138357544,
        "macs": 15470264320,
        "published": (("params of A, B, C, D, E", "133M, 133M, 134M, 138M, 144M", "Table 2"),),
    },
    "vgg11_lrn": {
        "constructor": "VGG",
        "keywords": {"config": "A", "norm_layer": "local_response"},
        "source": "Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1, column A-LRN",
        "input": "3x224x224",
        "introduced": "Shows that local response normalisation brings nothing here.",
        "params": 132863336,
        "macs": 7609090048,
        "published": (
            ("params", "133M", "Table 2"),
            ("top-1 error at one scale, %", 29.7, "Table 3"),
        ),
    },
    "vgg16_c": {
        "constructor": "VGG",
        "keywords": {"config": "C"},
        "source": "Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1, column C",
        "input": "3x224x224",
        "introduced": "Sixteen layers, three of them 1×1: worse than 3×3 in the same places.",
        "params": 133638952,
        "macs": 11770888192,
        "published": (("params", "134M", "Table 2"),),
    },
    "vgg11_d2l": {
        "constructor": "VGG",
        "keywords": {"config": "A", "input_channels": 1, "num_classes": 10},
        "source": "Zhang et al., Dive into Deep Learning, section 8.2",
        "input": "1x224x224",
        "introduced": "VGG-11 as a list of blocks, for Fashion-MNIST enlarged to 224×224.",
        "params": 128806154,
        "macs": 7547232256,
        "published": (("last feature map", "512x7x7", "section 8.2"),),
    },
    "vgg11_quarter_d2l": {
        "constructor": "VGG",
        "keywords": {"config": "A", "width": 16, "input_channels": 1, "num_classes": 10},
        "source": "Zhang et al., Dive into Deep Learning, section 8.2",
        "input": "1x224x224",
        "introduced": "The quarter-width VGG-11 that the book trains.",
        "params": 43093322,
        "macs": 512155648,
        "published": (("channels of the blocks", "16, 32, 64, 128, 128", "section 8.2"),),
    },
    "vgg_block": {
        "constructor": "VGGBlock",
        "keywords": {},
        "source": "Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1",
        "input": "64x112x112",
        "introduced": "3×3 convolutions, then pooling: two of them see 5×5, three 7×7.",
        "params": 221440,
        "macs": 2774532096,
        "published": (),
    },
}

Norm = str | Callable[[int], nn.Module]
Activation = str | Callable[[], nn.Module]


# Table 1: convolutions per block, and the kernel of the last one in the blocks that have three.
CONFIGS = {
    "A": ((1, 1, 2, 2, 2), 3),
    "B": ((2, 2, 2, 2, 2), 3),
    "C": ((2, 2, 3, 3, 3), 1),
    "D": ((2, 2, 3, 3, 3), 3),
    "E": ((2, 2, 4, 4, 4), 3),
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


def check_image_size(x: Tensor, image_size: int) -> None:
    """The first linear layer is built for one input size: say so before it fails."""
    height, width = x.shape[-2:]
    if (height, width) != (image_size, image_size):
        raise ValueError(
            f"input {height}x{width}: this network is built for {image_size}x{image_size}; "
            "build it with another image_size"
        )


class VGGBlock(nn.Sequential):
    """`num_convs` convolutions, then 2×2 max pooling: N×input_channels×S×S to N×channels×(S/2)².

    `last_kernel` is 1 in configuration C, 3 elsewhere; the others are 3×3.
    `norm_layer` stands between each convolution and its activation; `local_response` after the
    first activation alone.
    Weights start Xavier-uniform: the authors found after submission that this spares pre-training.
    """

    def __init__(
        self,
        *,
        input_channels: int = 64,
        channels: int = 128,
        num_convs: int = 2,
        last_kernel: int = 3,
        image_size: int = 112,
        norm_layer: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if num_convs < 1:
            raise ValueError(f"num_convs={num_convs}: must be at least 1")
        if last_kernel not in (1, 3):
            raise ValueError(f"last_kernel={last_kernel}: must be 1 or 3")
        for i in range(1, num_convs + 1):
            kernel = last_kernel if i == num_convs else 3
            conv = nn.Conv2d(input_channels, channels, kernel, padding=kernel // 2)
            nn.init.xavier_uniform_(conv.weight)
            self.add_module(f"conv{i}", conv)
            if norm_layer not in ("local_response", "none"):
                self.add_module(f"bn{i}", make_norm(norm_layer, channels, image_size))
            self.add_module(f"act{i}", make_activation(activation))
            if norm_layer == "local_response" and i == 1:
                # torch divides alpha by the window of 5; the definition does not
                self.add_module("lrn1", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
            input_channels = channels
        self.add_module("pool", nn.MaxPool2d(kernel_size=2, stride=2))


class VGG(nn.Sequential):
    """Five blocks, then three linear layers: N×C×S×S to N×num_classes, S = `image_size`.

    `config` is a column of Table 1; `width` the channels of the first block, doubled three times.
    `norm_layer="local_response"` normalises once, after the first activation (column A-LRN).

    Raises:
        ValueError: an unknown configuration, a size below 32, or, in `forward`, an input of
            another size.
    """

    def __init__(
        self,
        *,
        config: str = "D",
        width: int = 64,
        hidden: int = 4096,
        dropout: float = 0.5,
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 224,
        norm_layer: Norm = "none",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if config not in CONFIGS:
            raise ValueError(f"config={config}: must be one of {', '.join(CONFIGS)}")
        if image_size < 32:
            raise ValueError(f"image_size={image_size}: must be at least 32")
        self.image_size = image_size
        counts, last_kernel = CONFIGS[config]
        local = norm_layer == "local_response"
        channels, size = input_channels, image_size
        for i, count in enumerate(counts):
            block = VGGBlock(
                input_channels=channels,
                channels=width * min(2**i, 8),
                num_convs=count,
                last_kernel=last_kernel if count == 3 else 3,
                image_size=size,
                norm_layer="none" if local and i > 0 else norm_layer,
                activation=activation,
            )
            self.add_module(f"block{i + 1}", block)
            channels, size = width * min(2**i, 8), size // 2
        self.add_module("flatten", nn.Flatten())
        features = channels * size * size
        for i in (6, 7):
            self.add_module(f"fc{i}", nn.Linear(features, hidden))
            self.add_module(f"act{i}", make_activation(activation))
            self.add_module(f"drop{i}", nn.Dropout(dropout))
            features = hidden
        self.add_module("fc8", nn.Linear(features, num_classes))
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        check_image_size(x, self.image_size)
        for layer in self:
            x = layer(x)
        return x
