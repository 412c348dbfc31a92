"""Which nodes serve, from what Ray says of them."""

import time

import pytest

pytest.importorskip("ray")

from archscope.engines.engine import EngineError
from archscope.engines.on_ray import nodes as known
from archscope.engines.on_ray.nodes import Misfit, Nodes, Request, misfit


def node(name, alive=True, labels=(), **resources):
    return {
        "NodeID": name, "Alive": alive, "NodeManagerHostname": f"host-{name}",
        "Resources": resources, "Labels": {"ray.io/node-id": name, **dict(labels)},
    }  # fmt: skip


HEAD = node("h", CPU=2)
A100 = node("a", CPU=8, GPU=4, labels={"ray.io/accelerator-type": "A100"})
T4 = node("t", CPU=1, GPU=1, labels={"gpu": "T4"})


def seen(request, *nodes):
    told = []
    found = Nodes("ray", request, told.append)
    found._known = list(nodes)
    return found, told


def test_a_task_runs_once_a_core_or_gpu_of_the_nodes_that_fit():
    assert seen(Request(), HEAD, A100, T4)[0].slots() == 2 + 8 + 1
    assert seen(Request(gpus=1), HEAD, A100, T4)[0].slots() == 4 + 1
    assert seen(Request(gpus=1), HEAD, A100, T4)[0].described() == "2 nodes"


@pytest.mark.parametrize(
    ("gpu", "selector"), [("a100", {"ray.io/accelerator-type": "A100"}), ("T4", {"gpu": "T4"})]
)
def test_a_gpu_is_chosen_by_its_label(gpu, selector):
    found, _ = seen(Request(gpus=1, gpu=gpu), HEAD, A100, T4)
    assert found.selector() == selector and found.described() == "1 node"


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request(gpus=1, gpu="H100"), "no node has H100 GPU .it has A100, T4."),
        (Request(cpus=16), "no node has 16 CPU .3 nodes with at most 8 CPUs each and 5 GPUs"),
    ],
)
def test_what_no_node_can_serve_is_refused(request_, problem):
    with pytest.raises(EngineError, match=problem):
        seen(request_, HEAD, A100, T4)[0].admit()


def test_a_node_with_another_torch_is_refused_by_name():
    found, told = seen(Request(), HEAD, T4)
    found.refuse(Misfit("t", "gpu-7", "torch 2.11.0, here 2.14.1"))
    assert told == ["node gpu-7 is not used: it has torch 2.11.0, here 2.14.1"]
    assert found.selector() == {"ray.io/node-id": "!in(t)"} and found.described() == "1 node"
    found.refuse(Misfit("h", "head", "torch missing, here 2.14.1"))
    with pytest.raises(EngineError, match=r"gpu-7 has torch 2\.11\.0, here 2\.14\.1; head has"):
        found.admit()


def test_what_differs_is_looked_up_on_the_node(monkeypatch):
    class Context:
        def get_node_id(self):
            return "n"

    monkeypatch.setattr("ray.get_runtime_context", Context)
    monkeypatch.setattr(known, "_installed", {"torch": "2.14.1", "timm": "missing"}.get)
    assert misfit({"torch": "2.14.1"}) is None
    found = misfit({"torch": "2.14.1", "timm": "1.0"})
    assert found is not None and found.reason == "timm missing, here 1.0"


def test_a_dead_node_is_named_once_and_a_fleet_without_nodes_is_given_up(monkeypatch):
    found, told = seen(Request(), HEAD, T4)
    found.require_some()
    found._known = [node("h", alive=False), T4]  # Ray forgets what a dead node had
    found.require_some()
    found.require_some()
    assert told == ["node host-h is gone; its tasks run elsewhere"]
    found._known = [node("t", alive=False)]
    found.require_some()  # it may come back
    monkeypatch.setattr(known, "PATIENCE", 0.0)
    time.sleep(0.01)
    with pytest.raises(EngineError, match="no node has 1 CPU"):
        found.require_some()


def test_a_head_that_is_silent_is_given_up(monkeypatch):
    found, _ = seen(Request(), HEAD)
    monkeypatch.setattr(known, "SILENCE", 0.0)
    time.sleep(0.01)
    with pytest.raises(EngineError, match="head no longer answers"):
        found.require_some()
