"""Receptive fields: the published ones, and the support of the input gradient on real networks."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archscope.analysis import borrow
from archscope.analysis.receptive import fields
from archscope.ask.receptive_field import receptive_fields
from archscope.ask.target import network_target

REFERENCE = json.loads(
    (Path(__file__).parents[2] / "references" / "receptive_fields.json").read_text()
)
IMAGE = (1, 2, 41, 43)


def fields_of(network, shape=IMAGE):
    """The fields of the network's own output, along height and width."""
    image = torch.empty(shape, device="meta")
    with borrow.copied(network, (), borrow.weightless) as (lent, _):
        lent.eval()
        found = fields.receptive_fields(lent, (image,), {}, on_meta=True)
    return found.layers[0].fields


def gradient_support(network, position, shape=IMAGE):
    """First and last pixel, by axis, that one position of the output depends on.

    All weights are positive, so no two paths cancel.
    """
    network = network.double().eval()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    image = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    output = network(image)
    output[(slice(None), slice(None), *position)].sum().backward()
    seen = image.grad.abs().sum((0, 1))
    rows, columns = seen.sum(1).nonzero().flatten(), seen.sum(0).nonzero().flatten()
    return [(int(axis[0]), int(axis[-1])) for axis in (rows, columns)]


def assert_matches_gradient(network, shape=IMAGE):
    with torch.no_grad():
        sides = network.eval()(torch.zeros(shape)).shape[2:]
    position = tuple(side // 2 for side in sides)
    fields = fields_of(network, shape)
    support = gradient_support(network, position, shape)
    for axis, (field, place) in enumerate(zip(fields, position, strict=True)):
        first = place * field.stride - field.padding
        last = first + field.size - 1
        if first >= 0 and last < shape[2 + axis]:
            assert support[axis] == (first, last)
        else:  # the padding has swallowed some of it
            assert first <= support[axis][0] and support[axis][1] <= last


class Residual(nn.Module):
    def __init__(self, *body):
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return self.body(x) + x


class Branches(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def conv(kernel, stride=1, padding=0, dilation=1):
    return nn.Conv2d(2, 2, kernel, stride, padding, dilation)


class InPlace(nn.Module):
    """Rearranges a tensor itself, which has its new shape before anybody can ask for the old."""

    def __init__(self, rearrange):
        super().__init__()
        self.rearrange = rearrange

    def forward(self, x):
        return self.rearrange(x * 1)


class Added(nn.Module):
    """Adds a matrix product that does not depend on the image, in place."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(2, 41, 3)), nn.Parameter(torch.ones(2, 3, 43))

    def forward(self, x):
        return x.flatten(0, 1).clone().baddbmm_(self.a, self.b).unflatten(0, (1, 2))


NETWORKS = {
    "stack": nn.Sequential(conv(3), conv(3, 2), conv(5)),
    "dilated": nn.Sequential(conv(3, dilation=2, padding=2), conv(3, dilation=3)),
    "asymmetric": nn.Sequential(conv((1, 7), padding=(0, 3)), conv((5, 1)), conv((3, 2), (2, 1))),
    "pooled": nn.Sequential(conv(3, padding=1), nn.AvgPool2d(3, 2, 1), conv(3, padding=1)),
    "residual": Residual(conv(3, padding=1), nn.ReLU(inplace=True), conv(5, padding=2)),
    "activations": nn.Sequential(conv(3), nn.Mish(inplace=True), nn.LeakyReLU(0.1, inplace=True)),
    "nested": nn.Sequential(conv(4, 2, 1), Residual(conv(3, padding=1), Residual(conv(1)))),
    "branches": Branches(conv(1), conv(3, padding=1), nn.AvgPool2d(5, 1, 2)),
    "normalised": nn.Sequential(conv(3), nn.BatchNorm2d(2), nn.ReLU(), conv(3)),
    "squeezed": nn.Sequential(
        InPlace(lambda x: x.squeeze_(0)), conv((5, 3)), InPlace(lambda x: x.unsqueeze_(0))
    ),
    "squeezed between": nn.Sequential(
        conv(3), InPlace(lambda x: x.unsqueeze_(2)), InPlace(lambda x: x.squeeze_(2)), conv((5, 3))
    ),
    "transposed": nn.Sequential(
        InPlace(lambda x: x.transpose_(2, 3)), conv((5, 1)), InPlace(lambda x: x.transpose_(2, 3))
    ),
    "a product added": nn.Sequential(Added(), conv(3)),
    "padded": nn.Sequential(nn.ZeroPad2d((2, 0, 1, 3)), conv(3, 2), nn.ReflectionPad2d(0), conv(3)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_the_support_of_the_input_gradient(name):
    assert_matches_gradient(NETWORKS[name])


def test_positions_that_other_strides_may_have_moved_are_not_claimed():
    flat = InPlace(lambda x: x.as_strided_((1, 2, 39 * 41, 1), (2 * 39 * 41, 39 * 41, 1, 1)))
    assert fields_of(nn.Sequential(conv(3), flat)) == (None, None)


layers = st.builds(
    lambda kernel, stride, dilation, pooled: (
        nn.AvgPool2d(kernel, stride, kernel // 2)
        if pooled
        else conv(kernel, stride, dilation * (kernel // 2), dilation)
    ),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(1, 2),
    st.booleans(),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(layers, min_size=1, max_size=4), layers)
def test_random_stacks_and_branches_match_the_gradient(stack, branch):
    if isinstance(branch, nn.Conv2d) and branch.stride == (1, 1) and branch.kernel_size[0] % 2:
        branch = Residual(conv(branch.kernel_size, 1, branch.kernel_size[0] // 2))
    assert_matches_gradient(nn.Sequential(*stack, branch))


def test_a_transposed_convolution_reads_as_many_positions_as_its_kernel_covers():
    network = nn.Sequential(conv(3, 2, 1), nn.ConvTranspose2d(2, 2, 4, 2, 1))
    (height, _) = fields_of(network)
    assert height.stride == 1
    # Each output reads two positions of the map below, which lie 2 pixels apart and see 3 each.
    assert height.size == 5
    support = gradient_support(network, (20, 20))
    assert support[0][1] - support[0][0] + 1 == 5


def test_maximum_and_average_pooling_see_the_same():
    assert fields_of(nn.MaxPool2d(3, 2, 1)) == fields_of(nn.AvgPool2d(3, 2, 1))
    (dilated, _) = fields_of(nn.MaxPool2d(3, 1, dilation=4))
    assert dilated.size == 9


def test_both_nearest_neighbours_see_the_same():
    exact, floor = (
        fields_of(nn.Sequential(conv(3), nn.Upsample(scale_factor=2, mode=mode), conv(3)))
        for mode in ("nearest-exact", "nearest")
    )
    assert exact == floor
    assert (exact[0].size, exact[0].stride) == (4, 0.5)


@pytest.mark.parametrize("group", ["published", "stride_in_3x3"])
def test_the_fields_of_published_networks(group):
    for name, (layer, size) in REFERENCE[group].items():
        layers = {
            found.name: found for found in receptive_fields(network_target(name)).found.layers
        }
        assert [field.size for field in layers[layer].fields] == [size, size], name


def test_the_field_of_a_symmetric_network_is_centred_on_its_position():
    layers = {
        layer.name: layer for layer in receptive_fields(network_target("resnet50")).found.layers
    }
    (height, width) = layers["layer4"].fields
    assert height == width
    assert (height.stride, height.padding, height.center) == (32, 213, 0)


GLOBAL = {
    "pooling to one position": nn.Sequential(conv(3), nn.AdaptiveAvgPool2d(1)),
    "a linear layer": nn.Sequential(conv(3), nn.Flatten(), nn.Linear(2 * 39 * 41, 4)),
    "squeeze and excitation": nn.Sequential(conv(3), nn.GroupNorm(1, 2)),
}


@pytest.mark.parametrize("name", GLOBAL)
def test_what_meets_the_whole_image_is_global(name):
    assert [field.size for field in fields_of(GLOBAL[name])] == [None, None]


class Tokens(nn.Module):
    """Patches as tokens with a class token in front, then attention over them."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.norm(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.attention(x, x, x, need_weights=False)[0][:, 0]


def test_tokens_see_their_patch_until_attention_sees_everything():
    layers = {
        layer.name: layer
        for layer in receptive_fields(network_target(Tokens(), input="2x32x32")).found.layers
    }
    assert [field.size for field in layers["patch"].fields] == [4, 4]
    assert [field.size for field in layers["norm"].fields] == [4, 4]
    assert [field.size for field in layers["attention"].fields] == [None, None]
    assert [field.size for field in layers[""].fields] == [None, None]


def test_one_axis_can_be_global_alone():
    (height, width) = fields_of(nn.Sequential(conv(3), nn.AdaptiveAvgPool2d((1, None))))
    assert (height.size, width.size) == (None, 3)


def test_attention_within_windows_is_not_claimed():
    layers = {
        layer.name: layer for layer in receptive_fields(network_target("swin_t")).found.layers
    }
    assert [field.size for field in layers["features.0"].fields] == [4, 4]
    assert layers["features.1.0.attn"].fields == (None, None)
    assert [field.size for field in layers["avgpool"].fields] == [None, None]


@pytest.mark.parametrize(("name", "size"), [("swin_v2_t", None), ("maxvit_t", None),
                                            ("lenet5_1998", 32)])  # fmt: skip
def test_every_output_sees_the_whole_image(name, size):
    """That of the original LeNet-5 does by convolutions alone: 32 pixels of 32."""
    assert [
        field.size for field in receptive_fields(network_target(name)).found.layers[0].fields
    ] == [size, size]


class Unfolded(nn.Module):
    def forward(self, x):
        return nn.functional.unfold(x, 3)


def test_an_operator_without_a_rule_is_named_and_nothing_is_claimed():
    found = receptive_fields(network_target(Unfolded(), input="2x8x8")).found
    assert found.unknown == ("aten::im2col",)
    assert found.layers[0].fields == (None, None)


def test_networks_of_one_and_three_axes():
    (length,) = fields_of(nn.Sequential(nn.Conv1d(2, 2, 5, 2), nn.MaxPool1d(3)), (1, 2, 50))
    assert (length.size, length.stride) == (9, 6)
    video = fields_of(nn.Conv3d(2, 2, (3, 5, 7)), (1, 2, 8, 16, 16))
    assert [field.size for field in video] == [3, 5, 7]


def _blocks(x):
    b, c, h, w = x.shape
    return x.view(b, c, h // 2, 2, w // 2, 2)


SPACE_TO_DEPTH = {
    "channels first": (lambda x: _blocks(x).permute(0, 1, 3, 5, 2, 4).reshape(1, 8, 12, 12), 8),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), 8),
    "blocks first": (lambda x: _blocks(x).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 12, 12), 8),
    "height": (lambda x: x.view(1, 2, 12, 2, 24).transpose(2, 3).reshape(1, 4, 12, 24), 4),
    "width": (lambda x: x.view(1, 2, 24, 12, 2).permute(0, 1, 4, 2, 3).reshape(1, 4, 24, 12), 4),
}


@pytest.mark.parametrize("name", SPACE_TO_DEPTH)
def test_blocks_that_become_channels_are_seen_together(name):
    rearrange, channels = SPACE_TO_DEPTH[name]
    network = nn.Sequential(InPlace(rearrange), nn.Conv2d(channels, 2, 3), nn.ReLU(), conv(3))
    sides = [field.size for field in fields_of(network, (1, 2, 24, 24))]
    # Five positions of two pixels along each axis in blocks, of one pixel along the others.
    assert sides == [5 if name == "width" else 10, 5 if name == "height" else 10]
    assert_matches_gradient(network, (1, 2, 24, 24))


def test_halves_that_become_channels_are_not_claimed():
    halves = InPlace(lambda x: x.view(1, 2, 2, 12, 24).reshape(1, 4, 12, 24))
    height, width = fields_of(nn.Sequential(halves, nn.Conv2d(4, 2, 3)), (1, 2, 24, 24))
    assert height is None and width.size == 3
    height, width = fields_of(halves, (1, 2, 24, 24))  # its channels see two rows far apart
    assert height is None and width.size == 1


class Each(nn.Module):
    """Runs a layer on what a tensor is once two of its dimensions have changed places."""

    def __init__(self, layer, one, other, flat=False):
        super().__init__()
        self.layer, self.dims, self.flat = layer, (one, other), flat

    def forward(self, x):
        x = x.transpose(*self.dims)
        found = self.layer(x.flatten(0, 1) if self.flat else x)
        return (found.unflatten(0, x.shape[:2]) if self.flat else found).transpose(*self.dims)


ELSEWHERE = {
    "rows are images of the batch": Each(nn.Conv1d(2, 2, 3), 1, 2, flat=True),
    "rows are channels of a pool": Each(nn.MaxPool2d((1, 3), 1), 1, 2),
    "rows are channels of a depthwise": Each(nn.Conv2d(24, 24, (1, 3), groups=24), 1, 2),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_rows_that_are_images_or_channels_for_a_while_remain_rows(name):
    network = nn.Sequential(ELSEWHERE[name], conv(5))
    height, width = fields_of(network, (1, 2, 24, 24))
    # The layer slides along the width alone: 5 rows of the second, 3 + (5 − 1) columns of both.
    assert (height.size, width.size) == (5, 7)
    assert_matches_gradient(network, (1, 2, 24, 24))


@pytest.mark.parametrize(("groups", "seen"), [(1, "all"), (4, "those of a group")])
def test_a_convolution_whose_channels_are_rows_mixes_them(groups, seen):
    rows = Each(nn.Conv2d(24, 24, (1, 3), groups=groups), 1, 2)
    height, width = fields_of(nn.Sequential(rows, conv(5)), (1, 2, 24, 24))
    assert (height and height.size) is None and width.size == 7
    assert (height is None) == (seen != "all")


def test_frames_that_a_network_sees_one_by_one_are_frames_for_the_next():
    frames = Each(nn.Conv2d(2, 2, 3), 1, 2, flat=True)
    video = fields_of(nn.Sequential(frames, nn.Conv3d(2, 2, (5, 1, 1))), (1, 2, 8, 16, 16))
    assert [field.size for field in video] == [5, 3, 3]


def test_an_image_beside_its_mirror_image_is_not_claimed():
    height, width = fields_of(nn.Sequential(Mirrored(), conv(3)))
    assert width is None and height.size == 3  # column 0 sees the last column, too


class Mirrored(nn.Module):
    def forward(self, x):
        return x + x.flip(-1)
