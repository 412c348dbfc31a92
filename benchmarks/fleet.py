"""What a long sweep costs beside its points: `python benchmarks/fleet.py [POINTS] [ray|local]`.

LeNet is counted for as many values of `num_classes`, on a cluster of one core that is started on
this machine, or by two workers here, whose time is added. The sum is of the seconds that each point
took in its worker; the run's time begins when the driver joins the cluster and ends with the last
outcome.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from archscope.ask.sweep.grid import Grid, run
from archscope.ask.travel import counted
from archscope.engines.engine import Engine, Lost
from archscope.engines.place import engine
from archscope.saved.journal import Journal

OBJECT_STORE_BYTES = 2**27


class Timed:
    """An engine that adds up what the tasks take."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner
        self.place = inner.place
        self.seconds = 0.0

    def completed(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        for index, found in self.inner.completed(partial(timed, function), tasks):
            if not isinstance(found, Lost):
                seconds, found = found
                self.seconds += seconds
            yield index, found


def timed(function: Callable[[Any], Any], task: Any) -> tuple[float, Any]:
    """Its result after the seconds that it took."""
    began = time.perf_counter()
    result = function(task)
    return time.perf_counter() - began, result


@contextmanager
def cluster() -> Iterator[None]:
    """One core, where `--on ray` finds it."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    made = Cluster(initialize_head=True, connect=False, head_node_args=head)
    os.environ["RAY_ADDRESS"] = made.address
    try:
        yield
    finally:
        made.shutdown()


def main(points: int, on: str) -> None:
    grid = Grid("lenet", (("num_classes", tuple(range(1, points + 1))),))
    jobs = 2 if on == "local" else None  # one job counts in this process
    with cluster() if on == "ray" else nullcontext(), tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.jsonl", grid.identity, resume=False, key=grid.key())
        began = time.perf_counter()
        with journal, engine(on, counted("lenet"), jobs=jobs) as place:
            clocked: Any = Timed(place)
            outcomes = run(grid, engine=clocked, journal=journal)
        seconds = (time.perf_counter() - began) * (jobs or 1)
    assert all(outcome.total is not None for outcome in outcomes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{points} points: {seconds:.1f} s, {clocked.seconds:.1f} s of it in points")
    print(f"{seconds / clocked.seconds:.2f} × the sum of the points, driver at most {peak:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, (sys.argv[2:] or ["ray"])[0])
