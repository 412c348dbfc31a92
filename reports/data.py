"""What reports are made from: saved counts, measurements, and a few facts beside them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from archscope import archive
from archscope.ask.groups.members import Member
from archscope.ask.groups.views import GroupSweep
from archscope.ask.verify import figures
from archscope.ask.verify.figures import Verification
from archscope.errors import ArchscopeError
from archscope.records import Analysis, Profile, SignalPropagation
from archscope.study.groups import file_name

FACTS = "facts.json"
VERIFIED = "verify.json"
VERIFIED_TIMM = "verify-timm.json"
COVERAGE = "coverage.json"
UNEQUAL_TIME = "unequal-time.json"
TEXTS = (VERIFIED, VERIFIED_TIMM, COVERAGE, UNEQUAL_TIME)
"""Files that hold no record."""

PREFIX = "counted-"


@dataclass(frozen=True)
class Data:
    """Everything under reports/data.

    Args:
        counted: analyses by name (`counted-resnet50.json` is `resnet50`).
        measured: profiles by file name without its suffix: `<device>-<job>`.
        facts: date of the count, published accuracies, depths, and which group counts stand in
            which view.
        signals: activation and gradient statistics by file name without its suffix.
        texts: the files that hold no record, by name: what `archscope verify --all --save`,
            `benchmarks/verify_timm.py`, `benchmarks/coverage.py` and
            `benchmarks/prediction/unequal_time.py` wrote.
    """

    counted: Mapping[str, Analysis]
    measured: Mapping[str, Profile]
    facts: Mapping[str, Any]
    signals: Mapping[str, SignalPropagation] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Data:
        """Read a folder.

        Raises:
            ArchscopeError: it holds no counts, or a file of it is damaged.
        """
        path = folder / FACTS
        if not path.is_file():
            raise ArchscopeError(
                str(folder), "holds no counts", "make them with python -m reports --count"
            )
        records = {
            file.stem: archive.load(file)
            for file in sorted(folder.glob("*.json"))
            if file.name not in (FACTS, *TEXTS)
        }
        counted = {
            name.removeprefix(PREFIX): record
            for name, record in records.items()
            if isinstance(record, Analysis)
        }
        measured = {n: record for n, record in records.items() if isinstance(record, Profile)}
        signals = {n: r for n, r in records.items() if isinstance(r, SignalPropagation)}
        facts = json.loads(path.read_text(encoding="utf-8"))
        texts = {
            name: (folder / name).read_text(encoding="utf-8")
            for name in TEXTS
            if (folder / name).is_file()
        }
        return cls(counted, measured, facts, signals, texts)

    def analysis(self, name: str) -> Analysis:
        """One count.

        Raises:
            ArchscopeError: it is missing.
        """
        if name not in self.counted:
            raise ArchscopeError(f"{PREFIX}{name}.json", "is missing", "run report --count")
        return self.counted[name]

    def traced(self, name: str) -> Profile:
        """What `archscope trace` saved of a trace.

        Raises:
            ArchscopeError: it is missing.
        """
        if name not in self.measured:
            raise ArchscopeError(f"{name}.json", "is missing", "save it with archscope trace -o")
        return self.measured[name]

    def signal(self, name: str) -> SignalPropagation:
        """Activation and gradient statistics saved by `archscope signal`.

        Raises:
            ArchscopeError: they are missing.
        """
        if name not in self.signals:
            raise ArchscopeError(f"{name}.json", "is missing", "save it with archscope signal -o")
        return self.signals[name]

    @property
    def verifications(self) -> tuple[list[Verification], dict[str, str]]:
        """What other tools and publications say of torchvision's networks.

        Raises:
            ArchscopeError: it is missing.
        """
        text = self._text(VERIFIED, "save it with archscope verify --all --save")
        return figures.loads(text)

    @property
    def timm_verifications(self) -> tuple[str, list[Verification], dict[str, str]] | None:
        """Which of timm's networks were tried, and what other tools say of them, if saved."""
        text = self.texts.get(VERIFIED_TIMM)
        if text is None:
            return None
        sample = json.loads(text)
        return (timm_sample(sample["step"], sample["timm"]), *figures.loads(text))

    @property
    def coverage(self) -> dict[str, Any]:
        """Every torchvision network: what it costs, or why it cannot be counted.

        Raises:
            ArchscopeError: it is missing.
        """
        text = self._text(COVERAGE, "save it with python benchmarks/coverage.py")
        found: dict[str, Any] = json.loads(text)
        return found

    @property
    def unequal_time(self) -> dict[str, Any]:
        """Published and predicted times of networks with equal MACs.

        Raises:
            ArchscopeError: they are missing.
        """
        remedy = "save it with python benchmarks/prediction/unequal_time.py"
        found: dict[str, Any] = json.loads(self._text(UNEQUAL_TIME, remedy))
        return found

    def _text(self, name: str, remedy: str) -> str:
        if name not in self.texts:
            raise ArchscopeError(name, "is missing", remedy)
        return self.texts[name]

    def profiles(self, jobs: Iterable[str]) -> dict[str, Profile]:
        """Measurements of jobs, all on one device, since only such times compare.

        Of several devices the one that ran most of the jobs, and a GPU before a CPU.
        """
        devices: dict[str, dict[str, Profile]] = defaultdict(dict)
        for job in jobs:
            for name, profile in self.measured.items():
                if name.endswith(f"-{job}"):
                    devices[name.removesuffix(f"-{job}")][job] = profile

        def rank(found: Mapping[str, Profile]) -> tuple[int, bool]:
            on_cpu = any(p.environment.device.startswith("cpu") for p in found.values())
            return len(found), not on_cpu

        return max(devices.values(), key=rank, default={})

    def top1(self, name: str) -> float | None:
        """Published ImageNet top-1 accuracy as a fraction."""
        value = self.facts["published"].get(name, {}).get("top1")
        return None if value is None else value / 100

    def top5(self, name: str) -> float | None:
        """Published ImageNet top-5 accuracy as a fraction."""
        value = self.facts["published"].get(name, {}).get("top5")
        return None if value is None else value / 100

    def depth(self, name: str) -> int:
        """Convolutions and linear layers on the longest path from input to output."""
        depth: int = self.facts["depths"][name]
        return depth

    @cached_property
    def group_sweep(self) -> GroupSweep:
        """The group counts of ResNet-50, as `sweep_groups` counted them."""

        def member(groups: int, width: int) -> Member:
            return Member(groups, width, self.analysis(file_name(groups, width)))

        views = {
            view: tuple(member(groups, width) for groups, width in members)
            for view, members in self.facts["groups"].items()
        }
        base = member(1, 64)
        return GroupSweep(base, base, "width_per_group", views)

    def stamp(self) -> str:
        """Versions and date of the count, as a sentence."""
        versions: dict[str, str] = {}
        for analysis in self.counted.values():
            versions |= dict(analysis.versions)
        named = ", ".join(f"{library} {version}" for library, version in versions.items())
        return f"Counted on {self.facts['date']} with {named}."


def timm_sample(step: int, version: str) -> str:
    """Which of timm's networks were tried, as the title of a table."""
    return f"One of every {step} names of timm {version}"


def device_of(profile: Profile) -> str:
    """The name of the device that a profile was measured on, and how it was loaded."""
    environment = profile.environment
    name = environment.fact("device name") or environment.device
    if environment.device.startswith("cpu"):
        threads = environment.fact("threads")
        used = f", {threads} thread{'' if threads == '1' else 's'}" if threads else ""
        name = f"CPU ({name}{used})"
    return name


def measured_stamp(profiles: list[Profile]) -> str:
    """Devices and dates of measurements, as a sentence, also where there are none."""
    if not profiles:
        return "Times are not measured yet."
    places = dict.fromkeys(
        f"{device_of(p)}, torch {p.environment.fact('torch')}, "
        f"{(p.environment.fact('date') or '')[:10]}"
        for p in profiles
    )
    return f"Measured on {'; '.join(places)}."
