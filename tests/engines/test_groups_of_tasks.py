"""Which tasks go to a node together, and what becomes of them when their process ends."""

import pytest

pytest.importorskip("ray")

from archscope.engines.engine import Lost
from archscope.engines.on_ray import tasks
from archscope.engines.on_ray.nodes import Nodes, Request

NODE = "a" * 56
"""As many digits as Ray wants."""


@pytest.fixture
def running(monkeypatch):
    monkeypatch.setattr(tasks, "_remote", lambda function, request: None)
    nodes = Nodes("ray", Request(), lambda line: None)
    nodes._known = [{"NodeID": NODE, "Alive": True, "Resources": {"CPU": 2}, "Labels": {}}]
    return tasks._Run(len, [None] * 400, nodes)


def test_the_first_goes_alone_and_then_a_fifth_of_a_second_together(running):
    assert running._batch() == [0]
    running.seconds, running.finished = 0.01, 1
    assert running._batch() == list(range(1, 21))
    running.seconds = 1.0
    assert running._batch() == [21]
    running.seconds = 1e-6
    assert len(running._batch()) == tasks.MOST_TOGETHER


def test_at_the_end_some_are_left_for_every_node(running):
    running.seconds, running.finished = 1e-6, 1
    while len(running.waiting) > 40:
        running.waiting.pop()
    assert len(running._batch()) == 10  # 40 in 2 groups for each of 2 cores


def test_of_a_group_whose_process_ended_each_runs_alone(running):
    running.seconds, running.finished = 0.1, 1
    assert running._batch() == [0, 1]
    assert running._lost([0, 1], "it ended") == []
    assert running._batch() == [0]
    assert running._lost([0], "it ended") == [Lost("it ended")]
    assert running._batch() == [1]
    assert running._batch() == [2, 3]


def test_a_task_under_which_every_node_dies_is_taken_for_the_cause(running):
    batch = running._batch()
    for _ in range(tasks.TRIES - 1):
        assert running._orphaned(batch) == []
        assert running._batch() == batch
    assert running._orphaned(batch) == [Lost("4 nodes died while they ran it")]


def test_a_task_whose_node_ran_out_of_memory_runs_again_with_nothing_beside_it(
    running, monkeypatch
):
    given = []
    monkeypatch.setattr(running, "_give", lambda batch, **how: given.append((batch, how)))
    running.waiting.clear()
    assert running._suspected([3]) == [] and running._suspected([5]) == []
    running.flying["of another task"] = [4]
    running.submit(4)
    assert given == [] and running.unfinished
    running.flying.clear()
    running.submit(4)
    ((batch, how),) = given  # one node, one suspect
    assert batch == [3] and how["scheduling_strategy"].node_id == NODE
    assert running._suspected([3]) == [Lost("its node ran out of memory")]
    assert list(running.suspects) == [5]


def test_tasks_of_one_message_each_run_alone_before_one_is_a_suspect(running):
    assert running._suspected([0, 1]) == [] and not running.suspects
    assert running._batch() == [0] and running._batch() == [1]
