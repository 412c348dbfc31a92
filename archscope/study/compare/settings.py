"""With which settings each network of a comparison was measured, where these differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archscope.records import Profile
from archscope.table import Column, Row, Table

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender


SETTINGS = {
    "device name": None,
    "driver": None,
    "power limit": None,
    "torch": None,
    "threads": None,
    "dtype": None,
    "network dtype": None,
    "matrix products": None,
    "autocast": "off",
    "optimizer": "none",
    "memory format": "contiguous",
    "torch.compile": "off",
    "cudnn.benchmark": None,
    "second-level cache": "as the repetitions leave it",
}
"""Facts of an environment that are chosen, with what holds where a profile does not tell."""


def settings_tables(chosen: Sequence[Contender]) -> list[Table]:
    """One table of the settings that differ between the measured networks, if any do."""
    measured = [c.profile for c in chosen if c.profile is not None]
    read = [None if c.profile is None else _settings(c.profile) for c in chosen]
    known = [settings for settings in read if settings is not None]
    keys = [key for key in ("device", "batch", *SETTINGS) if len({s[key] for s in known}) > 1]
    if len(measured) < 2 or not keys:
        return []
    columns = [Column("setting", "Setting", "name")]
    columns += [Column(contender.label, contender.label) for contender in chosen]
    rows = tuple(Row((key, *(None if s is None else s[key] for s in read))) for key in keys)
    return [Table("Measured with different settings", tuple(columns), rows)]


def _settings(profile: Profile) -> dict[str, str | None]:
    facts = dict(profile.environment.facts)
    return {
        "device": profile.environment.device,
        "batch": str(profile.input.batch),
        **{key: facts.get(key, default) for key, default in SETTINGS.items()},
    }
