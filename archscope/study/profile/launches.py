"""Which layers the device waits for, as the host launches their kernels too slowly."""

from __future__ import annotations

from archscope.records import LayerTime, Profile
from archscope.units import seconds
from archscope.wording import layer_labels

LAUNCH_BOUND = 0.2
"""A layer whose kernels the GPU waits for longer than this share of waiting and work."""

MOST_NAMES = 4


def launch_bound(profile: Profile) -> list[LayerTime]:
    """The layers that the host launches too slowly, those waited for longest first."""
    found = [
        row
        for row in profile.layers
        if row.in_network
        and row.waiting_seconds > LAUNCH_BOUND * (row.waiting_seconds + row.total_seconds)
    ]
    return sorted(found, key=lambda row: -row.waiting_seconds)


def launch_bound_note(profile: Profile) -> tuple[str, ...]:
    """Which layers are launch-bound, where the trace has kernels."""
    if profile.environment.device == "cpu":
        return ()
    rows = launch_bound(profile)
    meaning = f"the GPU waits for over {LAUNCH_BOUND:.0%} of the time".replace("%", " %")
    if not rows:
        return (f"No layer is launch-bound ({meaning}).",)
    names = layer_labels(row.name for row in profile.layers if row.in_network)
    layers = list(dict.fromkeys(names[row.name] for row in rows))  # each call has a row
    first = ", ".join(layers[:MOST_NAMES])
    more = f" and {len(layers) - MOST_NAMES} more" if len(layers) > MOST_NAMES else ""
    waited = seconds(sum(row.waiting_seconds for row in rows))
    return (f"Launch-bound ({meaning}): {first}{more}; {waited} of waiting (Waits).",)
