"""A cluster of several invented nodes on this machine, and a command that runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

OBJECT_STORE_BYTES = 2**27

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores, and a node with one."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
    yield made
    made.shutdown()


@pytest.fixture
def environment(cluster: Any, tmp_path: Path) -> dict[str, str]:
    """Of a command that finds the cluster, and has a folder of its own for journals."""
    own = {"RAY_ADDRESS": cluster.address, "ARCHSCOPE_CACHE_DIR": str(tmp_path / "cache")}
    return {**os.environ, **own}


@pytest.fixture
def archscope(environment: dict[str, str]) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "archscope", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=300
        )

    return run
