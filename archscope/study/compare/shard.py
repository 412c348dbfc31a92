"""A part of a comparison, which says nothing before it is merged with the others."""

from __future__ import annotations

from archscope.table import Report
from archscope.units import plural


def shard_report(networks: int) -> Report:
    """How many networks were measured, and what to do with them.

    Args:
        networks: the number of them.
    """
    answer = f"{plural(networks, 'network')} measured; join the shards with archscope merge."
    return Report("Shard of a comparison", (), answer=answer)
