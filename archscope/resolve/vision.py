"""torchvision's networks: their names, how each is built as published, and its default input."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.process import patched_here
from archscope.records import InputSpec, TensorSpec
from archscope.resolve.layer_types import with_factories

if TYPE_CHECKING:
    from torch import nn

PREFIX = "torchvision:"
"""What a name of torchvision may begin with, though no other library has it."""

INSTALL = "install the matching pair: python -m pip install --upgrade torch torchvision"

AS_PUBLISHED: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "quantized_googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"init_weights": False},
    "quantized_inception_v3": {"init_weights": False},
    "fcn_resnet50": {"aux_loss": True},
    "fcn_resnet101": {"aux_loss": True},
    "deeplabv3_resnet50": {"aux_loss": True},
    "deeplabv3_resnet101": {"aux_loss": True},
    "deeplabv3_mobilenet_v3_large": {"aux_loss": True},
    "ssdlite320_mobilenet_v3_large": {"weights_backbone": None},
}
"""Keywords that make a builder return the network of its published weights without loading them."""

TOKENS = ("VisionTransformer", "SwinTransformer", "SwinTransformer3d", "MViT")
"""Classes whose `norm_layer` normalises tokens, channels last."""


@functools.cache
def library() -> Any:
    """Import `torchvision.models`.

    Raises:
        ArchscopeError: torchvision is missing, or its operators do not fit the installed torch.
    """
    try:
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        raise ArchscopeError("torchvision", f"cannot be imported ({error})", INSTALL) from error
    except (RuntimeError, OSError, AttributeError) as error:
        import torch

        problem = f"does not fit torch {torch.__version__} ({error})"
        raise ArchscopeError("torchvision", problem, INSTALL) from error


def names() -> list[str]:
    """The name of every torchvision network, of all families."""
    return list(library().list_models())


def family(name: str) -> str:
    """`classification`, or torchvision's package: `segmentation`, `detection`, `video`, …."""
    package: str = library().get_model_builder(name).__module__
    part = package.split(".")[2:-1]
    return part[0] if part else "classification"


def builder(name: str) -> Callable[..., nn.Module]:
    """The function that builds a network; by default some download weights of a backbone."""
    function: Callable[..., nn.Module] = library().get_model_builder(name)
    return function


def complete(name: str, keywords: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """All keywords to call the builder with, and notes on what they mean.

    Raises:
        ArchscopeError: a keyword asks for a download or names an unknown layer type.
    """
    for key in ("weights", "weights_backbone", "pretrained", "pretrained_backbone"):
        if keywords.get(key):
            raise ArchscopeError(
                key, "archscope counts without weights and downloads none", "leave it out"
            )
    preset = AS_PUBLISHED.get(name, {})
    kind = inspect.signature(inspect.unwrap(builder(name))).return_annotation
    dimensions = 3 if family(name) == "video" else 2
    tokens = getattr(kind, "__name__", str(kind)) in TOKENS
    made, notes = with_factories(keywords, dimensions, tokens)
    if preset.get("aux_loss") and "aux_loss" not in keywords:
        notes += ("with the auxiliary head of the published weights; aux_loss=False leaves it out",)
    if preset.get("aux_logits") is False and "aux_logits" not in keywords:
        notes += ("without auxiliary classifiers, as published; aux_logits=True adds them",)
    return {**preset, **made}, notes


def construct(name: str, keywords: Mapping[str, Any]) -> nn.Module:
    """Call the builder; weights that it asks for by default are neither fetched nor loaded."""
    with _offline():
        return builder(name)(**keywords)


def default_input(name: str, keywords: Mapping[str, Any], entry: Any = None) -> InputSpec:
    """The input that a network's published figures are for, at batch 1.

    Classification and video take the crop of the weights' own preprocessing; video 16 frames;
    segmentation 520×520; detection one 800×800 image, or the fixed size in the name; optical flow
    two 512×512 images.

    Args:
        name: torchvision's name.
        keywords: the user's; an image size among them decides.
        entry: one of the network's weight entries, for the input that it is published with.
    """
    kind = family(name)
    sides = (520, 520)
    if kind in ("classification", "quantization", "video"):
        sides = _crop(entry or library().get_model_weights(name).DEFAULT)
        if name.startswith("vit_") and entry is None:
            sides = (224, 224)  # the constructor's default; some weights have a larger one
    elif kind == "detection":
        side = next((size for size in (300, 320) if str(size) in name), 800)
        return InputSpec((TensorSpec((1, 3, side, side)),), layout="images")
    elif kind == "optical_flow":
        return InputSpec((TensorSpec((1, 3, 512, 512)),) * 2)
    given = keywords.get("image_size", keywords.get("input_size"))
    if isinstance(given, int):
        sides = (given, given)
    elif isinstance(given, tuple) and len(given) == 2:
        sides = given
    frames = (16,) if kind == "video" else ()
    return InputSpec((TensorSpec((1, 3, *frames, *sides)),))


def _crop(entry: Any) -> tuple[int, int]:
    crop = entry.transforms().crop_size
    return crop[0], crop[-1]


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let weight entries pass without a download: they still choose the layers (frozen norms)."""
    from torch import nn

    entries = importlib.import_module("torchvision.models._api").WeightsEnum
    with patched_here(
        [(entries, "get_state_dict", _no_state), (nn.Module, "load_state_dict", _not_loaded)]
    ):
        yield


def _no_state(entry: object, *args: object, **options: object) -> dict[str, Any]:
    return {}


def _not_loaded(module: nn.Module, *args: object, **options: object) -> None:
    """Leave the parameters as constructed."""
