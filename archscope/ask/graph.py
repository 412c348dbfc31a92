"""Whatever the user names → its modules and the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archscope.ask.count import analyse
from archscope.ask.predict import executed
from archscope.ask.target import Target
from archscope.latency.setting import Setting
from archscope.records import Analysis, Execution

if TYPE_CHECKING:
    from archscope.analysis.graph import FlowStep


@dataclass(frozen=True)
class NetworkGraph:
    """A network's count with the flow of its tensors.

    Args:
        analysis: its module calls.
        execution: the operators of its forward pass.
    """

    analysis: Analysis
    execution: Execution

    @property
    def steps(self) -> tuple[FlowStep, ...]:
        """What its modules compute, and whose results they read."""
        from archscope.analysis.graph import flow

        return flow(self.execution)


def network_graph(target: Target, analysis: Analysis | None = None) -> NetworkGraph:
    """Follow the tensors of one forward pass in evaluation mode.

    Args:
        target: the network with its call.
        analysis: its count, where it was made already.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input.
    """
    subject, call = target.called()
    run = executed(subject, call, Setting(dtype="float32"), fused_attention=True)
    return NetworkGraph(analyse(target) if analysis is None else analysis, run.execution)
