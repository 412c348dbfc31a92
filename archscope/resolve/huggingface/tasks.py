"""Which class of transformers a configuration is built as, by the task."""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping
from typing import Any

from archscope.errors import ArchscopeError
from archscope.resolve.huggingface.configuration import library, quiet
from archscope.resolve.signatures import nearest

BASE = "feature-extraction"

PIPELINES = {
    "text-generation": "causal-lm",
    "fill-mask": "masked-lm",
    "text-classification": "sequence-classification",
    "text2text-generation": "seq2seq-lm",
    "summarization": "seq2seq-lm",
    "translation": "seq2seq-lm",
    "automatic-speech-recognition": "speech-seq2seq",
    "image-feature-extraction": BASE,
    "base": BASE,
}
"""Names that transformers' pipelines have for tasks whose `AutoModel` class is named otherwise."""

USUAL = ("seq2seq-lm", "speech-seq2seq", "image-text-to-text", "causal-lm")
"""Tasks whose head belongs to the network without being asked for: it generates."""


@functools.cache
def auto_classes() -> dict[str, Any]:
    """Every `AutoModelFor…` class by its task: `causal-lm`, `image-classification`, …."""
    library()
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    found = {BASE: auto.AutoModel}
    for key, value in vars(auto).items():
        if key.startswith("AutoModelFor") and hasattr(value, "_model_mapping"):
            found[_task_of(key.removeprefix("AutoModelFor"))] = value
    return found


def _task_of(name: str) -> str:
    """`CausalLM` → `causal-lm`, `Seq2SeqLM` → `seq2seq-lm`."""
    name = name.replace("Seq2Seq", "Sequence2sequence").replace("Seq2", "Sequence2")
    words = re.findall("[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", name)
    return "-".join(words).lower().replace("sequence2sequence", "seq2seq")


def available(config: Any) -> dict[str, Any]:
    """The classes that a configuration can be built as, by task."""
    found = {}
    for task, auto in auto_classes().items():
        kind = _mapped(auto, config)
        if kind is not None:
            found[task] = kind
    return found


def _mapped(auto: Any, config: Any) -> Any:
    names = auto._model_mapping._model_mapping.get(config.model_type)
    if names is None:
        return None
    try:
        with quiet():
            kind = auto._model_mapping[type(config)]
    except (KeyError, ImportError, AttributeError):
        return None
    return kind[0] if isinstance(kind, (tuple, list)) else kind


FAILING = {
    "Llama4ForConditionalGeneration": (
        "Llama4ForCausalLM",
        "reads image outputs that its text network does not return (transformers 5.24)",
    ),
}
"""Classes whose own forward pass fails whatever they are given: the class instead, and why."""


def _running(kind: Any) -> Any:
    """A class, or the one whose forward pass runs in its place."""
    other, _ = FAILING.get(kind.__name__, ("", ""))
    return _by_name(other) or kind


def network_class(name: str, config: Any, task: str | None) -> Any:
    """The class to build.

    Args:
        name: as the user gave it.
        config: of the network.
        task: one of `available`, a pipeline's name for it, or a class name; when `None` the
            class that the configuration names, else the head of a network that generates, else
            none.

    Raises:
        ArchscopeError: the architecture has no head for this task.
    """
    if task is not None:
        return _chosen(name, config, str(task))
    for stated in getattr(config, "architectures", None) or ():
        kind = _by_name(str(stated))
        if kind is not None:
            return _running(kind)
    classes = available(config)
    # With a masked head it is an encoder, which only may be used as a decoder.
    usual: tuple[str, ...] = USUAL[:1] if "masked-lm" in classes else USUAL
    for task in (*usual, BASE, *classes):
        if task in classes:
            return _running(classes[task])
    raise ArchscopeError(
        name,
        f"transformers has no network for {type(config).__name__} alone",
        "name the architecture that it is a part of",
    )


def _chosen(name: str, config: Any, task: str) -> Any:
    kind = _by_name(task)
    if kind is not None:
        return kind
    classes = available(config)
    known = PIPELINES.get(task, task)
    if task == "automatic-speech-recognition" and known not in classes:
        known = "ctc"
    if known not in classes:
        raise ArchscopeError(
            f"task={task}", f"{name} has no such head", nearest(task, classes, "it has")
        )
    return classes[known]


def _by_name(name: str) -> Any:
    """A network class of transformers by its own name, `None` where there is none."""
    if not name.isidentifier() or not name[0].isupper() or name.startswith("Auto"):
        return None
    with quiet():
        kind = getattr(library(), name, None)
    return kind if isinstance(kind, type) and hasattr(kind, "_from_config") else None


def require_forward(name: str, module: Any) -> None:
    """Refuse a network that only generates: it holds networks, and runs them in a loop.

    Raises:
        ArchscopeError: naming the classes of its networks.
    """
    from torch import nn

    kind = type(module)
    if kind.forward is not nn.Module.forward:
        return
    held = {type(child).__name__ for child in module.children()}
    parts = ", ".join(sorted(part for part in held if _by_name(part) is not None))
    raise ArchscopeError(
        name,
        f"{kind.__name__} of transformers has no forward pass: it generates with the networks "
        "that it contains",
        f"choose one by the keyword task: {parts}",
    )


def configuration_for(kind: Any, config: Any) -> Any:
    """The part of a configuration that a class takes: some take that of the text or decoder."""
    wanted = getattr(kind, "config_class", None)
    parts = getattr(config, "sub_configs", {})
    if wanted is None or isinstance(config, wanted):
        return config
    for name, part in parts.items():
        if part is wanted and getattr(config, name, None) is not None:
            return config.get_text_config() if name == "text_config" else getattr(config, name)
    return config


def note(config: Any, kind: Any, keywords: Mapping[str, Any]) -> str:
    """Which class was built, and what else the architecture can be built as."""
    text = f"Built as {kind.__name__} of transformers"
    for failing in available(config).values():
        other, why = FAILING.get(failing.__name__, ("", ""))
        if other == kind.__name__ and "task" not in keywords:
            return f"{text}: the forward pass of {failing.__name__} {why}."
    if "task" in keywords:
        return f"{text}."
    others = [task for task, other in available(config).items() if other is not kind]
    if not others:
        return f"{text}."
    shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    return f"{text}; the keyword `task` chooses another: {shown}."
