"""One trace, two to compare, or those of several ranks → the report that fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from archscope.ask.trace.profile import Traced
from archscope.errors import ArchscopeError
from archscope.files import is_pipe
from archscope.records import Profile
from archscope.study.page import with_profile_page
from archscope.study.trace import trace_report
from archscope.study.trace.compare import compare_report
from archscope.study.trace.ranks import ranks_report
from archscope.table import Report
from archscope.traces.perfetto import timeline
from archscope.traces.speedscope import flame_graph


def report_of(
    paths: Sequence[str], found: Sequence[Traced], *, every_layer: bool = False
) -> Report:
    """What to show of some files.

    Args:
        paths: of the files.
        found: in them, in the same order.
        every_layer: list every layer instead of the slowest.

    Raises:
        ArchscopeError: more than two files that are not of different ranks.
    """
    profiles = [each.profile for each in found]
    if len(found) == 1:
        report = trace_report(profiles[0], every_layer=every_layer)
        return with_profile_page(replace(report, exports=_exports(found[0])), profiles)
    ranks = [rank_of(profile) for profile in profiles]
    if None not in ranks and len(set(ranks)) == len(ranks):
        by_rank = {r: p for r, p in zip(ranks, profiles, strict=True) if r is not None}
        return ranks_report(by_rank, every_layer=every_layer)
    if len(profiles) > 2:
        problem = "are neither two traces to compare nor of different ranks of one job"
        raise ArchscopeError(" ".join(paths), problem, "give one file, two, or one of each rank")
    return compare_report(profiles, _labels(paths, profiles), every_layer=every_layer)


def _exports(found: Traced) -> dict[str, Callable[[], dict[str, Any]]]:
    attribution, model = found.attribution, found.profile.model
    return {
        ".speedscope.json": lambda: flame_graph(attribution, model),
        ".perfetto.json": lambda: timeline(attribution, model),
    }


def rank_of(profile: Profile) -> int | None:
    """The rank that a trace is of, `None` where its job had one process."""
    rank = profile.environment.fact("rank")
    return int(rank.partition(" ")[0]) if rank is not None else None


def _labels(paths: Sequence[str], profiles: Sequence[Profile]) -> list[str]:
    """The devices where they differ, else the files' names, with folders where those are equal."""
    devices = [profile.environment.fact("device name") or "" for profile in profiles]
    if len(set(devices)) == len(devices) and all(devices):
        return devices
    places = [Path(path).resolve().parts for path in paths]
    if len(set(places)) < len(places) or any(map(is_pipe, paths)):
        return ["first", "second"]
    differs = next(
        k for k in range(1, 1 + max(map(len, places))) if len({p[-k:] for p in places}) > 1
    )
    return [_shortened(place[-differs:]) for place in places]


def _shortened(place: Sequence[str]) -> str:
    """`v1/…/trace` of the folders and the name of `v1/runs/trace.json.gz`."""
    folder, between = "".join(f"{name}/" for name in place[:-1][:1]), "…/" * (len(place) > 2)
    return folder + between + place[-1].partition(".json")[0]
