"""A copy of what is handed in, with other tensors: a run may change it, the original is read."""

from archscope.analysis.replica.graph import Replica, StandIn
from archscope.analysis.replica.kinds import copier_of

__all__ = ["Replica", "StandIn", "replica"]


def replica(owner: str, stand_in: StandIn) -> Replica:
    """An empty copy, to which whatever belongs together is added with `of`.

    Args:
        owner: what error messages name.
        stand_in: makes the tensor that is used in place of one.
    """
    return Replica(owner, stand_in, copier_of)
