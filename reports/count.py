"""Counts every network that reports/ shows and saves the counts and facts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archscope import archive
from archscope.ask.target import network_target, target
from archscope.files import replace_file
from archscope.records import Analysis
from reports.articles import equal_cost, family_tree, group_count, growth_rate, normalisation
from reports.data import FACTS, PREFIX

if TYPE_CHECKING:
    from torch import nn


ENTRY = "IMAGENET1K_V1"
"""torchvision's first weights of each network, trained by nearly the same recipe."""


def recount(folder: Path) -> list[Path]:
    """Write `counted-*.json` and `facts.json`; measurements in the folder stay.

    Counts that no report uses any more are removed.

    Raises:
        ArchscopeError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    analyses, groups = _analyses()
    texts = {f"{PREFIX}{name}.json": archive.compact(found) for name, found in analyses.items()}
    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "depths": {kin.name: depth(kin.name) for kin in family_tree.FAMILY},
        "groups": groups,
        "published": _published(),
        "training_tensors": _training_tensors(),
    }
    texts[FACTS] = json.dumps(facts, indent=1) + "\n"
    for name, text in texts.items():
        replace_file(folder / name, text.encode())
    for old in folder.glob(f"{PREFIX}*.json"):
        if old.name not in texts:
            old.unlink()
    return [folder / name for name in texts]


def _analyses() -> tuple[dict[str, Analysis], dict[str, list[tuple[int, int]]]]:
    """Every count by name, and the members of each view of the group sweep."""
    from archscope.ask.groups.sweep import sweep_groups
    from archscope.study.groups import file_name

    sweep = sweep_groups(group_count.GROUPS)
    views: dict[str, list[tuple[int, int]]] = {}
    found: dict[str, Analysis] = {}
    for view in sweep.views:
        for member in sweep.counted(view):
            views.setdefault(view, []).append((member.groups, member.width))
            found[file_name(member.groups, member.width)] = member.analysis
    return {**found, **dict(_others())}, views


def _others() -> Iterator[tuple[str, Analysis]]:
    from torch import nn

    from archscope.ask.count import analyse

    for name in equal_cost.NAMES:
        yield name, analyse(target(name), backward=True)
    for kin in family_tree.FAMILY:
        if kin.name not in equal_cost.NAMES:
            yield kin.name, analyse(target(kin.name))
    yield "lenet5", analyse(target("lenet5"))
    for rate in growth_rate.RATES:
        yield growth_rate.name(rate), analyse(target("densenet", keywords={"growth_rate": rate}))
    for norm in normalisation.NORMS:
        keywords = {"stride_in": "3x3", "norm_layer": norm}
        yield normalisation.name(norm), analyse(target("resnet", keywords=keywords))
    for name, ceil_mode in (("pool-floor", False), ("pool-ceil", True)):
        pool = nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)
        yield name, analyse(target(pool, input="64x112x112"))


def _published() -> dict[str, dict[str, Any]]:
    from archscope import zoo
    from archscope.resolve import published_entries

    found: dict[str, dict[str, Any]] = {}
    for kin in family_tree.FAMILY:
        if kin.name in zoo.names():
            continue
        entries = {entry["entry"]: entry for entry in published_entries(kin.name)}
        entry = entries[ENTRY]
        found[kin.name] = {"entry": ENTRY, "top1": entry["acc@1"], "top5": entry["acc@5"]}
    return found


def _training_tensors() -> dict[str, int]:
    from archscope.ask.memory.prediction import predict

    return {name: predict(network_target(name)).peak.allocated for name in equal_cost.NAMES}


def depth(name: str) -> int:
    """Convolutions and linear layers on the longest path from input to output."""
    import torch

    from archscope.resolve import network

    found = network(name)
    assert found.input is not None
    shape = tuple(int(side) for side in found.input.tensors[0].shape)
    return _longest_path(found.module, torch.empty(shape, device="meta"))


def _longest_path(module: nn.Module, image: Any) -> int:
    """Follow the tensors of one forward pass, each with the weighted layers behind it."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    weighted = {"aten::convolution", "aten::addmm", "aten::mm"}
    depths: dict[int, int] = {}
    alive: list[Any] = []  # an id is a tensor's only while it lives

    class Follow(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            inputs = tree_leaves((args, kwargs))
            behind = max((depths.get(id(leaf), 0) for leaf in inputs), default=0)
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    alive.append(leaf)
                    depths[id(leaf)] = behind + (func._schema.name in weighted)
            return result

    with torch.no_grad(), Follow():  # type: ignore[no-untyped-call]
        output = module(image)
    return depths[id(output)]
