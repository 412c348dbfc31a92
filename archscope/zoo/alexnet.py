"""AlexNet of Krizhevsky et al. 2012, with its two groups and without, and the book's version."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "alexnet_2012": {
        "constructor": "AlexNet",
        "keywords": {},
        "source": "Krizhevsky, Sutskever and Hinton 2012, ImageNet Classification with Deep CNNs",
        "input": "3x227x227",
        "introduced": "A deep convolutional network with ReLU and dropout, trained on two GPUs.",
        "params": 60965224,
        "macs": 724406816,
        "published": (
            ("params", "60 million", "section 4"),
            ("top-1 error, %", 40.7, "Table 2, one CNN, ILSVRC-2012 validation"),
            ("top-5 error, %", 18.2, "Table 2, one CNN, ILSVRC-2012 validation"),
        ),
    },
    "alexnet_2012_ungrouped": {
        "constructor": "AlexNet",
        "keywords": {"groups": 1},
        "source": "Krizhevsky, Sutskever and Hinton 2012, section 3.5, without the groups",
        "input": "3x227x227",
        "introduced": "AlexNet with every convolution reading all maps, as most rewrites have it.",
        "params": 62378344,
        "macs": 1135256096,
        "published": (("kernels of conv1 to conv5", "96, 256, 384, 384, 256", "section 3.5"),),
    },
    "alexnet_d2l": {
        "constructor": "AlexNet",
        "keywords": {
            "groups": 1,
            "padding": 1,
            "norm_layer": "none",
            "init": "xavier",
            "input_channels": 1,
            "num_classes": 10,
            "image_size": 224,
        },
        "source": "Zhang et al., Dive into Deep Learning, section 8.1",
        "input": "1x224x224",
        "introduced": "AlexNet for Fashion-MNIST at 224×224, without response normalisation.",
        "params": 46764746,
        "macs": 938146176,
        "published": (("last feature map", "256x5x5", "section 8.1"),),
    },
}

Norm = str | Callable[[int], nn.Module]
Activation = str | Callable[[], nn.Module]

# The channels that both sides of a grouped convolution have in common: gcd(96, 256, 384).
WIDEST_GROUPS = 32


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


class AlexNet(nn.Sequential):
    """Five convolutions, three poolings, three linear layers: N×C×S×S to N×num_classes.

    S = `image_size`; `groups` splits conv2, conv4 and conv5, in two on the paper's two GPUs.
    `norm_layer="local_response"` normalises after the first two activations (section 3.3); any
    other choice stands between each convolution and its activation.
    Weights start normal with deviation 0.01 and the biases of conv2, conv4, conv5 and the hidden
    linear layers at 1 (section 5), or Xavier-uniform as in the course book.

    Raises:
        ValueError: groups that do not divide the channels, a size that the poolings exhaust, an
            unknown choice, or, in `forward`, an input of another size.
    """

    def __init__(
        self,
        *,
        groups: int = 2,
        padding: int = 0,
        hidden: int = 4096,
        dropout: float = 0.5,
        num_classes: int = 1000,
        input_channels: int = 3,
        image_size: int = 227,
        norm_layer: Norm = "local_response",
        activation: Activation = "relu",
        init: str = "normal",
    ) -> None:
        super().__init__()
        if groups < 1 or WIDEST_GROUPS % groups:
            raise ValueError(f"groups={groups}: must divide 96, 256 and 384: 1, 2, 4, 8, 16 or 32")
        if init not in ("normal", "xavier"):
            raise ValueError(f"init={init}: must be normal or xavier")
        least = 67 - 2 * padding
        if image_size < least:
            raise ValueError(f"image_size={image_size}: must be at least {least} here")
        self.image_size = image_size
        plan = (
            (nn.Conv2d(input_channels, 96, 11, stride=4, padding=padding), "pool"),
            (nn.Conv2d(96, 256, 5, padding=2, groups=groups), "pool"),
            (nn.Conv2d(256, 384, 3, padding=1), ""),
            (nn.Conv2d(384, 384, 3, padding=1, groups=groups), ""),
            (nn.Conv2d(384, 256, 3, padding=1, groups=groups), "pool"),
        )
        local = norm_layer == "local_response"
        size = (image_size + 2 * padding - 11) // 4 + 1
        for i, (conv, then) in enumerate(plan, start=1):
            self.add_module(f"conv{i}", conv)
            if norm_layer not in ("local_response", "none"):
                self.add_module(f"bn{i}", make_norm(norm_layer, conv.out_channels, size))
            self.add_module(f"act{i}", make_activation(activation))
            if local and i <= 2:
                # torch divides alpha by the window of 5; the paper does not
                self.add_module(f"lrn{i}", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
            if then == "pool":
                self.add_module(f"pool{i}", nn.MaxPool2d(kernel_size=3, stride=2))
                size = (size - 3) // 2 + 1
        self.add_module("flatten", nn.Flatten())
        features = 256 * size * size
        for i in (6, 7):
            self.add_module(f"fc{i}", nn.Linear(features, hidden))
            self.add_module(f"act{i}", make_activation(activation))
            self.add_module(f"drop{i}", nn.Dropout(dropout))
            features = hidden
        self.add_module("fc8", nn.Linear(features, num_classes))
        self._init(init)

    def _init(self, init: str) -> None:
        for name, layer in self.named_children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                if init == "xavier":
                    nn.init.xavier_uniform_(layer.weight)
                    continue
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    ones = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
                    nn.init.constant_(layer.bias, 1.0 if ones else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        check_image_size(x, self.image_size)
        for layer in self:
            x = layer(x)
        return x
