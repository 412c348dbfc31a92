"""The nodes of a cluster: which of them may serve, and whether they still answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from types import TracebackType
from typing import Any

from archscope.engines.engine import EngineError

GPU_LABELS = ("ray.io/accelerator-type", "gpu")
"""Labels that name a node's GPU: Ray's own, and that of whoever started the node."""

NODE_LABEL = "ray.io/node-id"

SILENCE = 20.0
"""Seconds without an answer after which the head is taken for dead; Ray itself ends the process
after 60."""

PATIENCE = 30.0
"""Seconds for which a run waits while no node is left that fits."""

PULSE = 2.0


@dataclass(frozen=True)
class Request:
    """What a task needs.

    Args:
        cpus, gpus: how many of each, all for itself.
        gpu: the model of the GPU, as a label of its node says it; any when empty.
        versions: what its node must have installed, by package.
        fresh: whether each task has a process of its own.
    """

    cpus: int = 1
    gpus: int = 0
    gpu: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False

    def __str__(self) -> str:
        what = f"{self.gpu or 'any'} GPU" if self.gpus else f"{self.cpus} CPU"
        return what if self.gpu or not self.gpus else "a GPU"

    def fits(self, node: Mapping[str, Any]) -> bool:
        """Whether a node has what is needed when nothing else runs there."""
        resources = node["Resources"]
        enough = resources.get("CPU", 0) >= self.cpus and resources.get("GPU", 0) >= self.gpus
        return enough and (not self.gpu or bool(self.label(node)))

    def label(self, node: Mapping[str, Any]) -> str:
        """The label by which a node has the wanted GPU; empty where it has not."""
        labels = node.get("Labels") or {}
        found = (key for key in GPU_LABELS if str(labels.get(key, "")).lower() == self.gpu.lower())
        return next(found, "")

    def slots(self, node: Mapping[str, Any]) -> int:
        """How many such tasks a node runs at once."""
        resources = node["Resources"]
        room = [
            int(resources.get(kind, 0) // wanted)
            for kind, wanted in (("CPU", self.cpus), ("GPU", self.gpus))
            if wanted
        ]
        return min(room)


@dataclass(frozen=True)
class Misfit:
    """A node whose packages differ from those here.

    Args:
        node: its id.
        name: of the machine.
        reason: which package differs, and how.
    """

    node: str
    name: str
    reason: str


@cache
def _installed(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The version of each package in this process, `missing` where it is not there."""
    return {package: _installed(package) for package in packages}


def misfit(wanted: Mapping[str, str]) -> Misfit | None:
    """What keeps the node that runs this from serving, `None` for nothing."""
    import platform

    import ray

    differing = [
        f"{package} {found}, here {version}"
        for package, version in wanted.items()
        if (found := _installed(package)) != version
    ]
    if not differing:
        return None
    node = ray.get_runtime_context().get_node_id()
    return Misfit(node, platform.node(), "; ".join(differing))


class Nodes:
    """What is known of a cluster's nodes, asked for every few seconds by a thread of its own.

    Ray never says that a request is one that no node can serve, and blocks while its head is
    dead, so whoever waits looks here.

    Args:
        address: what a message calls the cluster.
        request: what a task needs.
        tell: is given a line about each node that is refused or gone.
    """

    def __init__(self, address: str, request: Request, tell: Callable[[str], None]) -> None:
        self.address = address
        self.request = request
        self.tell = tell
        self.refused: dict[str, str] = {}
        self._serving: dict[str, str] = {}
        self._known: list[dict[str, Any]] = []
        self._answered = self._served = time.monotonic()
        self._ended = threading.Event()
        self._pulse = threading.Thread(target=self._look, daemon=True, name="archscope nodes")

    def __enter__(self) -> Nodes:
        import ray

        self._known = ray.nodes()
        self._pulse.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def admit(self) -> None:
        """Look at every node that fits before anything runs.

        Raises:
            EngineError: none fits, or none has the packages that are here.
        """
        import ray

        if not self._fitting():
            raise self._none_fits()
        look = ray.remote(num_cpus=0, max_retries=1)(misfit)
        answers = [
            look.options(label_selector={NODE_LABEL: node["NodeID"]}).remote(
                dict(self.request.versions)
            )
            for node in self._fitting()
        ]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=PATIENCE)
        for answer in ready:
            try:
                found = ray.get(answer)
            except ray.exceptions.RayError:
                continue  # the node died, or cannot start a process; a task will show
            if found is not None:
                self.refuse(found)
        if not self._fitting():
            raise EngineError(self.address, self._misfits(), "install the same versions there")

    def refuse(self, node: Misfit) -> None:
        """Give a node no task any more."""
        if node.node not in self.refused:
            self.refused[node.node] = f"{node.name} has {node.reason}"
            self.tell(f"node {node.name} is not used: it has {node.reason}")

    def selector(self) -> dict[str, str]:
        """The labels of the nodes that may serve, as Ray's `label_selector` takes them."""
        chosen = {}
        if self.request.gpu:
            node = next((node for node in self._known if self.request.label(node)), None)
            if node is not None:
                label = self.request.label(node)
                chosen[label] = str(node["Labels"][label])
        if self.refused:
            chosen[NODE_LABEL] = f"!in({','.join(self.refused)})"
        return chosen

    def serving(self) -> list[str]:
        """The ids of the nodes that serve."""
        return [str(node["NodeID"]) for node in self._fitting()]

    def slots(self) -> int:
        """How many tasks can run at once."""
        return max(1, sum(self.request.slots(node) for node in self._fitting()))

    def described(self) -> str:
        """How many nodes serve, such as `3 nodes`."""
        count = len(self._fitting())
        return f"{count} node{'' if count == 1 else 's'}"

    def require_some(self) -> None:
        """Say which nodes are gone, and stop waiting for what will not come.

        Raises:
            EngineError: the head does not answer, or there has been no fitting node for a while.
        """
        now = time.monotonic()
        if now - self._answered > SILENCE:
            raise self.unreachable()
        serving = {node["NodeID"]: node["NodeManagerHostname"] for node in self._fitting()}
        for node, name in self._serving.items():
            if node not in serving and node not in self.refused:
                self.tell(f"node {name} is gone; its tasks run elsewhere")
        self._serving = serving
        if serving:
            self._served = now
        elif now - self._served > PATIENCE:
            raise self._none_fits()

    def unreachable(self) -> EngineError:
        """What to say of a head that does not answer."""
        return EngineError(
            self.address, "the cluster's head no longer answers",
            "start it again, or continue without it: finished points are saved",
        )  # fmt: skip

    def _look(self) -> None:
        import ray

        while not self._ended.wait(PULSE):
            try:
                self._known = ray.nodes()
            except Exception:  # not connected any more; the silence shows
                continue
            self._answered = time.monotonic()

    def _fitting(self) -> list[dict[str, Any]]:
        return [
            node
            for node in self._known
            if node["Alive"] and node["NodeID"] not in self.refused and self.request.fits(node)
        ]

    def _none_fits(self) -> EngineError:
        alive = [node for node in self._known if node["Alive"]]
        if self.refused:
            return EngineError(self.address, self._misfits(), "install the same versions there")
        labels = [str((node.get("Labels") or {}).get(k)) for node in alive for k in GPU_LABELS]
        known = sorted({label for label in labels if label != "None"})
        if self.request.gpu:
            has = f"it has {', '.join(known)}" if known else "no node has a label gpu"
            remedy = "start its nodes with the label gpu=NAME, or ask for one that is there"
        else:
            most = int(max((node["Resources"].get("CPU", 0) for node in alive), default=0))
            gpus = int(sum(node["Resources"].get("GPU", 0) for node in alive))
            has = f"{len(alive)} nodes with at most {most} CPUs each and {gpus} GPUs in all"
            remedy = "add a node that has it"
        return EngineError(self.address, f"no node has {self.request} ({has})", remedy)

    def _misfits(self) -> str:
        return f"no node can serve: {'; '.join(self.refused.values())}"
