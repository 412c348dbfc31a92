"""What a network of transformers is called with, from its configuration and `forward`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Any

from archscope.records import InputSpec, TensorSpec
from archscope.resolve.huggingface import series
from archscope.resolve.huggingface.configuration import text_of

if TYPE_CHECKING:
    from torch import nn

LENGTH = 128
"""Tokens of a text when nothing is said."""

FRAMES = 50
"""Frames of a second of audio behind the convolutions of wav2vec 2.0, whose stride is 20 ms."""

CODEC = ("acoustic_model_config", "semantic_model_config")
"""Settings of codecs that join two networks (XCodec), whose audio has one channel."""

SECOND = 16_000
"""Samples of one second of audio, at the rate that speech networks are trained for."""


def default_input(module: nn.Module, kind: Any) -> InputSpec | None:
    """The input at batch 1; `None` where `forward` takes what its names do not give.

    Args:
        module: the built network, which holds its configuration.
        kind: its class.
    """
    config: Any = module.config
    parameters = inspect.signature(kind.forward).parameters
    main: Any = getattr(module, "main_input_name", "input_ids")
    names = [main] if isinstance(main, str) else list(main)
    names = [name for name in names if name in parameters] or list(parameters)[1:2]
    if names == ["inputs"]:  # of Perceiver, which says what they are by another name
        names = [name for name in ("input_ids", "pixel_values") if name in parameters] or names
    if _pairs_text_with_images(config, parameters):
        names = ["input_ids", "pixel_values"]
    names += [
        key for key, parameter in parameters.items()
        if parameter.default is parameter.empty and key in SHAPES and key not in names
    ]  # fmt: skip
    if hasattr(config, "dim_bbox") and "bbox" in parameters:  # BROS requires it, unlike LayoutLM
        names.append("bbox")
    for name, others in TOGETHER.items():
        if name in names and parameters.keys() >= {*others}:
            names += [other for other in others if other not in names]
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        names.append("decoder_input_ids")
    tensors = [_tensor(name, config) for name in names]
    found = [tensor for tensor in tensors if tensor is not None]
    return InputSpec(tuple(found)) if found and len(found) == len(tensors) else None


def _pairs_text_with_images(config: Any, parameters: Any) -> bool:
    """Whether a network needs texts and images: it compares them, as CLIP does, or joins them."""
    towers = hasattr(config, "text_config") and hasattr(config, "vision_config")
    both = "input_ids" in parameters and "pixel_values" in parameters
    if both and hasattr(config, "modality_type_vocab_size"):  # one encoder reads them as one
        return True
    return towers and both and ("return_loss" in parameters or hasattr(config, "projection_dim"))


def _tensor(name: str, config: Any) -> TensorSpec | None:
    make = SHAPES.get(name)
    return None if make is None else make(name, config)


def _tokens(name: str, config: Any) -> TensorSpec:
    longest = getattr(text_of(config), "max_position_embeddings", None)
    length = min(LENGTH, longest) if isinstance(longest, int) and longest > 0 else LENGTH
    beside = getattr(getattr(config, "decoder_config", None), "num_channels", None)
    if name == "decoder_input_ids" and isinstance(beside, int):  # Dia's codebooks, side by side
        return TensorSpec((1, length, beside), "int64", name)
    books = _codebooks(name, config)
    return TensorSpec((books, length), "int64", name, batched=books == 1)


def _codebooks(name: str, config: Any) -> int:
    """Rows of one sequence: MusicGen's decoder takes those of its codebooks one below another."""
    part = getattr(config, "decoder", None) if name == "decoder_input_ids" else config
    rows: int = getattr(part, "num_codebooks", 1)
    return rows if getattr(part, "model_type", "").startswith("musicgen") else 1


def _image(name: str, config: Any) -> TensorSpec:
    vision = getattr(config, "vision_config", None) or config
    channels = getattr(vision, "num_channels", getattr(vision, "in_channels", 3))
    patches = _patches(vision)
    if patches is not None:
        return TensorSpec((1, patches, channels * vision.patch_size**2), "float32", name)
    frames = (getattr(vision, "num_frames", 0),) if _is_video(vision) else ()
    prompted = getattr(config, "prompt_encoder_config", None)  # as SAM 2, whose images it knows
    sized = vision if getattr(vision, "image_size", None) or prompted is None else prompted
    return TensorSpec((1, *frames, channels, *_sides(sized)), "float32", name)


def _patches(vision: Any) -> int | None:
    """How many patches, already cut out, a network takes in place of an image."""
    count = getattr(vision, "num_patches", None)
    return count if isinstance(count, int) and not getattr(vision, "image_size", None) else None


def _patch_mask(name: str, config: Any) -> TensorSpec | None:
    count = _patches(getattr(config, "vision_config", None) or config)
    return None if count is None else TensorSpec((1, count), "int64", name)


def _is_video(vision: Any) -> bool:
    frames = isinstance(getattr(vision, "num_frames", None), int)
    return frames and any(
        hasattr(vision, name) for name in ("tubelet_size", "attention_type", "mit_hidden_size")
    )


def _sides(vision: Any) -> tuple[int, int]:
    """Height and width from `image_size`, however a configuration writes it; 224 where unsaid.

    Depth Pro cuts patches out of smaller copies of an image: the smallest must still be one.
    """
    size = getattr(vision, "image_size", None) or 224
    ratios = getattr(vision, "scaled_images_ratios", None)
    if ratios and isinstance(vision.patch_size, int):
        size = ceil(vision.patch_size / min(ratios))
    if isinstance(size, dict):
        size = (size.get("height", 224), size.get("width", 224))
    if isinstance(size, (list, tuple)):
        return int(size[0]), int(size[-1])
    return int(size), int(size)


def _audio(name: str, config: Any) -> TensorSpec:
    """Raw samples, or a spectrogram where the configuration fixes one."""
    frames, bins = getattr(config, "max_length", None), getattr(config, "num_mel_bins", None)
    if bins is not None and isinstance(frames, int) and hasattr(config, "patch_size"):
        return TensorSpec((1, frames, bins), "float32", name)
    channels = getattr(config, "audio_channels", None)  # of codecs, which take them apart
    if channels is None and any(hasattr(config, name) for name in CODEC):
        channels = 1
    samples = (SECOND,) if channels is None else (channels, SECOND)
    return TensorSpec((1, *samples), "float32", name)


def _features(name: str, config: Any) -> TensorSpec:
    """A log-mel spectrogram: Whisper's has two frames a position; others put the frames first."""
    encoder = getattr(config, "encoder_config", None) or config
    bins = getattr(encoder, "num_mel_bins", None)
    positions = getattr(config, "max_source_positions", None)
    if bins is not None and positions is not None and getattr(config, "input_channels", 0) == 0:
        return TensorSpec((1, bins, 2 * positions), "float32", name)
    semantic = getattr(config, "semantic_model_config", None)
    joined = getattr(semantic or config, "feature_projection_input_dim", None)
    if joined is not None:  # of two frames, as Wav2Vec2-BERT takes them; XCodec2 beside samples
        frames = FRAMES if semantic else 8 * LENGTH
        return TensorSpec((1, frames, joined), "float32", name)
    width = getattr(config, "input_feat_per_channel", getattr(config, "input_dim", bins or 80))
    return TensorSpec((1, 8 * LENGTH, width), "float32", name)


def _mask(name: str, config: Any) -> TensorSpec:
    return TensorSpec((1, LENGTH), "int64", name)


SHAPES: dict[str, Callable[[str, Any], TensorSpec | None]] = {
    **series.SHAPES,
    "input_ids": _tokens,
    "decoder_input_ids": _tokens,
    "bbox": lambda name, config: TensorSpec((1, LENGTH, 4), "int64", name),
    "attention_mask": _mask,
    "pixel_values": _image,
    "pixel_values_videos": _image,
    "input_values": _audio,
    "input_features": _features,
    "pixel_attention_mask": _patch_mask,
    "spatial_shapes": lambda name, config: TensorSpec((1, 2), "int64", name),
}
"""How the shape of each argument follows from a configuration."""

TOGETHER = {**series.TOGETHER, "pixel_values": ("pixel_attention_mask", "spatial_shapes")}
"""Arguments that `forward` needs beside one of a name, though it does not require them."""
