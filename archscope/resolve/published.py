"""Published figures of torchvision's networks, from the metadata of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from archscope.records import Shape
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


Recipe = Literal["V1", "V2", "best"]
"""How torchvision trained weights: the first recipe, the later one, or whichever is better."""


def trained_by(name: str, recipe: Recipe, shapes: Sequence[Shape]) -> dict[str, Any] | None:
    """The weights of a network that one recipe trained at one input; `None` without any.

    Args:
        name: of torchvision's.
        recipe: `best` takes the highest top-1.
        shapes: of the input, without its batch.
    """
    entries = [
        facts
        for facts in published_entries(name)
        if facts["acc@1"] is not None and facts["input"].sample_shapes == tuple(shapes)
    ]
    if recipe == "best":
        return max(entries, key=lambda facts: float(facts["acc@1"]), default=None)
    return next((facts for facts in entries if facts["entry"] == f"IMAGENET1K_{recipe}"), None)


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
