"""The journals of the shards of `verify --all` → every network, as if one run had verified them."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.ask.verify.figures import Verification
from archscope.ask.verify.verify import apart, state
from archscope.saved.shards import Kind, ShardFile, joined, require_one_run

NETWORKS = Kind("verification", lambda entry: str(entry["name"]), state)


def merged(files: Sequence[ShardFile]) -> tuple[list[Verification], dict[str, str]]:
    """Join the journals of shards, in any order; see `verify_each` for what it returns.

    Args:
        files: the journals.

    Raises:
        ArchscopeError: they are of other networks or versions, disagree, or networks are missing.
    """
    runs = [file.run for file in files]
    require_one_run(files, runs, NETWORKS.name)
    return apart(joined(files, runs[0]["verify"], NETWORKS))
