"""Pre-activation residual networks of He et al. 2016 (Identity Mappings), ImageNet and CIFAR."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

ROWS: dict[str, dict[str, object]] = {
    "resnet_preact": {
        "constructor": "PreActResNet",
        "keywords": {},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, section 4",
        "input": "3x224x224",
        "introduced": "Norm and activation before each convolution: shortcuts are pure identities.",
        "params": 25549352,
        "macs": 4089184256,
        "published": (("depths on ImageNet", "152, 200", "Table 5"),),
    },
    "resnet152_preact": {
        "constructor": "PreActResNet",
        "keywords": {"depth": 152},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, Table 5",
        "input": "3x224x224",
        "introduced": "ResNet-152 with its activations moved before the convolutions.",
        "params": 60185128,
        "macs": 11513626624,
        "published": (("top-1 error of one 320×320 crop, %", 21.1, "Table 5"),),
    },
    "resnet200_preact": {
        "constructor": "PreActResNet",
        "keywords": {"depth": 200},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, Table 5",
        "input": "3x224x224",
        "introduced": "Two hundred layers, better than 152, unlike with activations after the sum.",
        "params": 64666152,
        "macs": 15007481856,
        "published": (("top-1 error of one 320×320 crop, %", 20.7, "Table 5"),),
    },
    "resnet164_preact_cifar": {
        "constructor": "PreActCifarResNet",
        "keywords": {"depth": 164},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, Table 4",
        "input": "3x32x32",
        "introduced": "Bottlenecks with full pre-activation, as costly as ResNet-110.",
        "params": 1703258,
        "macs": 247646720,
        "published": (("params", "1.7M", "Table 4"), ("error on CIFAR-10, %", 5.46, "Table 4")),
    },
    "resnet1001_preact_cifar": {
        "constructor": "PreActCifarResNet",
        "keywords": {"depth": 1001},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, Table 4",
        "input": "3x32x32",
        "introduced": "A thousand layers that gain from their depth.",
        "params": 10327706,
        "macs": 1490995712,
        "published": (("params", "10.2M", "Table 4"), ("error on CIFAR-10, %", 4.92, "Table 4")),
    },
    "preact_block": {
        "constructor": "PreActBottleneck",
        "keywords": {},
        "source": "He et al. 2016, Identity Mappings, arXiv:1603.05027, Fig. 1(b)",
        "input": "256x56x56",
        "introduced": "A residual block in which nothing stands after the addition.",
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


class PreActBottleneck(nn.Module):
    """x + F(x), norm and activation before each convolution: N×C×S×S to N×4·width×(S/stride)².

    Where the shape changes, a bare 1×1 convolution of the activated input takes the place of x.
    `activated` says that the input is so already: the block behind the stem has no norm of its own
    (appendix, on the first residual unit).
    """

    def __init__(
        self,
        *,
        input_channels: int = 256,
        width: int = 64,
        stride: int = 1,
        activated: bool = False,
        image_size: int = 56,
        norm_layer: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        channels, size = 4 * width, (image_size - 1) // stride + 1
        self.preact = nn.Sequential()
        if not activated:
            self.preact.add_module("bn1", make_norm(norm_layer, input_channels, image_size))
            self.preact.add_module("act1", make_activation(activation))
        self.conv1 = nn.Conv2d(input_channels, width, 1, bias=False)
        self.bn2 = make_norm(norm_layer, width, image_size)
        self.act2 = make_activation(activation)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = make_norm(norm_layer, width, size)
        self.act3 = make_activation(activation)
        self.conv3 = nn.Conv2d(width, channels, 1, bias=False)
        self.downsample: nn.Module | None = None
        if stride != 1 or input_channels != channels:
            self.downsample = nn.Conv2d(input_channels, channels, 1, stride=stride, bias=False)
        for layer in self.children():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        activated = self.preact(x)
        shortcut = x if self.downsample is None else self.downsample(activated)
        y = self.conv1(activated)
        y = self.conv2(self.act2(self.bn2(y)))
        y = self.conv3(self.act3(self.bn3(y)))
        out: Tensor = shortcut + y
        return out


def add_preact_stages(
    network: nn.Module,
    counts: tuple[int, ...],
    input_channels: int,
    width: int,
    size: int,
    norm_layer: Norm,
    activation: Activation,
) -> None:
    """Stages layer1, layer2 …, then the norm, activation, average and classifier's input."""
    for i, count in enumerate(counts):
        blocks: list[nn.Module] = []
        for j in range(count):
            stride = 2 if i > 0 and j == 0 else 1
            block = PreActBottleneck(
                input_channels=input_channels,
                width=width * 2**i,
                stride=stride,
                activated=i == 0 and j == 0,
                image_size=size,
                norm_layer=norm_layer,
                activation=activation,
            )
            blocks.append(block)
            input_channels, size = 4 * width * 2**i, (size - 1) // stride + 1
        network.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
    network.add_module("bn2", make_norm(norm_layer, input_channels, size))
    network.add_module("act2", make_activation(activation))
    network.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())


# Bottlenecks per stage, those of the ResNet of that depth.
STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


class PreActResNet(nn.Module):
    """The ImageNet network: N×C×S×S to N×num_classes.

    The stride is in the 3×3 convolutions.
    S = `image_size` matters to layer normalisation alone; any other takes any size.

    Raises:
        ValueError: a depth outside `STAGES`, or an unknown choice.
    """

    def __init__(
        self,
        *,
        depth: int = 50,
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
        size = (image_size - 1) // 2 + 1
        self.conv1 = nn.Conv2d(input_channels, width, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        self.bn1 = make_norm(norm_layer, width, size)
        self.act1 = make_activation(activation)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        size = (size - 1) // 2 + 1
        add_preact_stages(self, STAGES[depth], width, width, size, norm_layer, activation)
        self.fc = nn.Linear(32 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class PreActCifarResNet(nn.Module):
    """The CIFAR network: 9n + 2 layers, three stages of n bottlenecks, N×C×S×S to N×num_classes.

    S = `image_size` matters to layer normalisation alone.

    Raises:
        ValueError: a depth that is not 9n + 2, or an unknown choice.
    """

    def __init__(
        self,
        *,
        depth: int = 164,
        width: int = 16,
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
        self.conv1 = nn.Conv2d(input_channels, width, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, nonlinearity="relu")
        self.bn1 = make_norm(norm_layer, width, image_size)
        self.act1 = make_activation(activation)
        counts = ((depth - 2) // 9,) * 3
        add_preact_stages(self, counts, width, width, image_size, norm_layer, activation)
        self.fc = nn.Linear(16 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x
