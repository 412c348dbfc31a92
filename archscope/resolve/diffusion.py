"""`diffusers:` names: networks of diffusers from a class or from a folder's configuration."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope.errors import ArchscopeError
from archscope.files import at_home
from archscope.records import InputSpec, TensorSpec
from archscope.resolve.huggingface.configuration import quiet
from archscope.resolve.sides import SIDES, resized
from archscope.resolve.signatures import check_keywords, nearest
from archscope.resolve.stored import configuration

if TYPE_CHECKING:
    from torch import nn

PREFIX = "diffusers:"
INSTALL = "install it: python -m pip install diffusers"

TEXT = 77
"""Tokens of a prompt as CLIP's text encoder gives them."""


def named(
    name: str, keywords: Mapping[str, Any]
) -> tuple[Callable[[], object], Callable[[nn.Module], InputSpec | None]]:
    """Prepare the network of a name without its `diffusers:`: how it is built, and its input.

    Args:
        name: a class (`UNet2DConditionModel`), a folder with a `config.json`, or that file.
        keywords: of the class; those of `SIDES` change the default input.

    Raises:
        ArchscopeError: no such class or file, an unknown keyword, or diffusers is missing.
    """
    path = at_home(name)
    stored: dict[str, Any] = {}
    if path.exists():
        kind, stored = _from_file(path / "config.json" if path.is_dir() else path)
    else:
        kind = _class(name, name)
    settings = {key: value for key, value in keywords.items() if key not in SIDES}
    check_keywords(f"{PREFIX}{name}", kind, settings)

    def construct() -> object:
        with quiet():
            return kind.from_config({**stored, **settings}) if stored else kind(**settings)

    return construct, lambda module: resized(default_input(module), keywords)


def classes() -> list[str]:
    """The name of every network class that diffusers offers, from its table of contents.

    Importing them all takes half a minute. What is in the table beside networks has a name of its
    own kind.

    Raises:
        ArchscopeError: diffusers is missing.
    """
    modules = _library()._class_to_module
    return sorted(
        name
        for name, module in modules.items()
        if module == "models" and name[0].isupper() and not name.endswith(NO_NETWORKS)
    )


NO_NETWORKS = ("Config", "Mixin", "Name")
"""Ends of names in `diffusers.models` that are no networks."""


def _library() -> Any:
    try:
        with quiet():
            return importlib.import_module("diffusers")
    except ImportError as error:
        raise ArchscopeError("diffusers", f"cannot be imported ({error})", INSTALL) from error


def _class(name: str, argument: str) -> Any:
    from torch import nn

    with quiet():  # the class's module is imported now, with all that it needs
        kind = getattr(_library(), name, None)
    if isinstance(kind, type) and issubclass(kind, nn.Module):
        return kind
    raise ArchscopeError(
        f"{PREFIX}{argument}",
        "is neither a network class of diffusers nor a folder with a config.json",
        nearest(name, classes(), f"list them with archscope models '{PREFIX}*':")[:300],
    )


def _from_file(path: Path) -> tuple[Any, dict[str, Any]]:
    """The class that a configuration names, and its keywords."""
    if not path.is_file() and (path.parent / "model_index.json").is_file():
        parts = sorted(folder.parent.name for folder in path.parent.glob("*/config.json"))
        remedy = f"name one of its networks: {', '.join(parts)}"
        raise ArchscopeError(f"{PREFIX}{path.parent}", "is a pipeline of several networks", remedy)
    stored = configuration(path)
    name = stored.get("_class_name")
    if not isinstance(name, str):
        raise ArchscopeError(
            str(path), "names no class (_class_name)", "give the config.json of a network"
        )
    return _class(name, str(path)), {k: v for k, v in stored.items() if not k.startswith("_")}


def default_input(module: nn.Module) -> InputSpec | None:
    """What `forward` cannot do without, at batch 1; `None` where a shape is unknown."""
    config: Any = module.config
    tensors = []
    for name, parameter in list(inspect.signature(module.forward).parameters.items()):
        wanted = parameter.default is parameter.empty or _is_wanted(name, config)
        if not wanted or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        try:
            made = _tensor(name, config)
        except (TypeError, ValueError, LookupError):  # a configuration with other kinds of values
            made = None
        if made is None:
            return None
        tensors.append(made)
    return InputSpec(tuple(tensors)) if tensors else None


def _is_wanted(name: str, config: Any) -> bool:
    """Optional arguments that a configuration makes necessary."""
    get = config.get
    return {
        "hidden_states": True,
        "timestep": True,
        "encoder_hidden_states": bool(get("joint_attention_dim") or get("cross_attention_dim")
                                      or get("caption_channels")),
        "pooled_projections": bool(get("pooled_projection_dim")),
        "class_labels": get("num_embeds_ada_norm") is not None,
        "guidance": bool(get("guidance_embeds")),
        "img_ids": get("axes_dims_rope") is not None,
        "txt_ids": get("axes_dims_rope") is not None,
    }.get(name, False)  # fmt: skip


def _tensor(name: str, config: Any) -> TensorSpec | None:
    get = config.get
    channels, side = get("in_channels", 3), _side(config)
    packed = get("axes_dims_rope") is not None  # Flux takes patches as a sequence
    frames = (get("sample_frames", 16),) if "3D" in str(get("_class_name", "")) else ()
    width = next(
        (get(key) for key in ("joint_attention_dim", "cross_attention_dim", "caption_channels")
         if get(key)), None,
    )  # fmt: skip
    width = width[0] if isinstance(width, (list, tuple)) else width
    text = 512 if packed else TEXT
    shapes: dict[str, tuple[tuple[Any, ...], str, bool]] = {
        "sample": ((1, channels, *frames, *side), "float32", True),
        "x": ((1, channels, *side), "float32", True),
        "hidden_states": (
            (1, 1024, channels) if packed else (1, channels, *frames, *side), "float32", True,
        ),
        "timestep": ((1,), "int64", True),
        "encoder_hidden_states": ((1, text, width), "float32", True),
        "pooled_projections": ((1, get("pooled_projection_dim")), "float32", True),
        "class_labels": ((1,), "int64", True),
        "guidance": ((1,), "float32", True),
        "img_ids": ((1024, 3), "float32", False),
        "txt_ids": ((text, 3), "float32", False),
    }  # fmt: skip
    if name not in shapes or None in shapes[name][0]:
        return None
    shape, dtype, batched = shapes[name]
    return TensorSpec(shape, dtype, name, batched)


def _side(config: Any) -> tuple[int, int]:
    size = config.get("sample_size") or 64
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))
