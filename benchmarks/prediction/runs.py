"""Networks → recorded runs, each network once and on disk, for any batch size."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from archscope.ask.predict import executed
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.latency.setting import Setting
from archscope.records import Execution, Operand, OperatorRun

BATCH = 1009
"""At which every network runs: a prime that no other side of a tensor is a multiple of."""


@dataclass(frozen=True)
class Recorded:
    """The runs of networks, in a folder.

    Args:
        folder: of the files, one a network, size and way to run.
    """

    folder: Path

    def run(
        self, network: str, side: int, setting: Setting, *, fused_attention: bool
    ) -> Execution | None:
        """The run of a network at a batch of 1009; `None` where it cannot run so."""
        fused = fused_attention or setting.mode == "training"
        way = f"{setting.mode}-{setting.layout}{'' if fused else '-separate'}"
        path = self.folder / way / f"{network.replace(':', '.')}@{side}.z"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = _execution(network, side, setting, fused_attention)
            path.write_bytes(zlib.compress(pickle.dumps(found), 3))
        loaded: Execution | None = pickle.loads(zlib.decompress(path.read_bytes()))
        return loaded


def _execution(network: str, side: int, setting: Setting, fused: bool) -> Execution | None:
    """The run of a network whose images may be of any size, or whose size is set."""
    return _attempt(network, side, setting, fused, {"img_size": side}) or _attempt(
        network, side, setting, fused, {}
    )


def _attempt(
    network: str, side: int, setting: Setting, fused: bool, keywords: dict[str, int]
) -> Execution | None:
    try:
        target = network_target(network, input=f"3x{side}x{side}", batch=BATCH, keywords=keywords)
        return executed(*target.called(), replace(setting, compiled=False), fused).execution
    except ArchscopeError:
        return None


def at_batch(execution: Execution, batch: int) -> Execution:
    """The same run at another batch size."""
    known: dict[Operand, Operand] = {}

    def size(side: int) -> int:
        return side // BATCH * batch if side and side % BATCH == 0 else side

    def operand(given: Operand) -> Operand:
        found = known.get(given)
        if found is None:
            found = known[given] = given._replace(
                shape=tuple(map(size, given.shape)),
                elements=size(given.elements),
                run=size(given.run),
            )
        return found

    def operator(run: OperatorRun) -> OperatorRun:
        return run._replace(
            inputs=tuple(map(operand, run.inputs)),
            outputs=tuple(map(operand, run.outputs)),
            macs=size(run.macs),
        )

    return replace(execution, runs=tuple(map(operator, execution.runs)))
