"""Published figures of torchvision's networks, from the metadata of their weights."""

from __future__ import annotations

from typing import Any

from archscope.resolve import vision


def published_entries(name: str) -> list[dict[str, Any]]:
    """What torchvision publishes of each weight entry of a network; nothing is downloaded.

    Each has `entry` (such as `IMAGENET1K_V1`), `num_params`, `gmacs` (10⁹ multiply-accumulates),
    `acc@1` and `acc@5` (percent; `None` where the task has none), `keywords` that build the
    network of this entry, and its `input`.
    """
    return [_facts(name, entry) for entry in vision.library().get_model_weights(name)]


def published(name: str) -> dict[str, Any]:
    """The entry that the network's default input and constructor stand for.

    Of several, torchvision's default one.
    """
    weights = vision.library().get_model_weights(name)
    usual = vision.default_input(name, {})
    facts = [_facts(name, entry) for entry in (weights.DEFAULT, *weights)]
    return next((fact for fact in facts if fact["input"] == usual), facts[0])


def _facts(name: str, entry: Any) -> dict[str, Any]:
    spec = vision.default_input(name, {}, entry)
    accuracy: dict[str, float] = next(iter(entry.meta.get("_metrics", {}).values()), {})
    sized = name.startswith("vit_") and spec != vision.default_input(name, {})
    return {
        "entry": entry.name,
        "num_params": entry.meta["num_params"],
        "gmacs": entry.meta["_ops"],
        "acc@1": accuracy.get("acc@1"),
        "acc@5": accuracy.get("acc@5"),
        "keywords": {"image_size": spec.tensors[0].shape[-1]} if sized else {},
        "input": spec,
    }
