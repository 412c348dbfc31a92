"""Names of engines."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import archscope
from archscope.cli import run
from archscope.engines.engine import EngineError
from archscope.engines.local import Local
from archscope.engines.place import Work, check_place, engine


@pytest.mark.parametrize("on", ["local", "ray", "ray://head:10001", "ray://192.0.2.7:10001"])
def test_a_place_is_known(on):
    check_place(on)


@pytest.mark.parametrize("on", ["", "rya", "ray:", "ray://", "ray://head", "ray://:10001", "cuda"])
def test_an_unknown_place_is_refused_before_any_work(on, capsys):
    with pytest.raises(EngineError, match="unknown place to run"):
        check_place(on)
    assert run(["sweep", "no_such_network", "batch=1", "--on", on]) == 2
    assert capsys.readouterr().err == (
        f"archscope: {f'--on {on}'.strip()}: unknown place to run; write local, ray or ray://host:10001\n"
    )


def test_the_local_engine_counts_in_one_process_unless_asked_otherwise():
    assert engine("local", Work(preload=("torch",)), jobs=None) == Local(1, ("torch",))
    assert engine("local", Work(), jobs=3) == Local(3)


def test_without_ray_its_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["sweep", "lenet", "batch=1", "--on", "ray"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "archscope: --on ray: Ray cannot be imported" in printed.err
    assert "archscope-torch[ray]" in printed.err


def test_counting_here_loads_no_ray():
    code = "from archscope.cli import run; run(['sweep', 'lenet', 'batch=1']); import sys; "
    code += "assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_no_gpu_that_predict_knows_is_called_like_a_place_to_run():
    sheets = Path(archscope.__file__).parent / "latency" / "devices.json"
    devices = json.loads(sheets.read_text())
    names = {name for device in devices for name in (device["key"], *device["aliases"])}
    assert len(names) > 20 and not any(name.startswith(("local", "ray")) for name in names)


@pytest.mark.parametrize(
    "said, shown",
    [
        ("ray client connection timeout", "(ray client connection timeout)"),
        ("Initialization failure from server:\n no room\nTraceback", "from server: no room)"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_reported_in_its_words(monkeypatch, capsys, said, shown):
    def init(*args, **kwargs):
        raise ConnectionError(said)

    worker = SimpleNamespace(_worker_logs_enabled=True)
    ray = SimpleNamespace(
        is_initialized=lambda: False, init=init, _private=SimpleNamespace(worker=worker)
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert run(["sweep", "lenet", "batch=1", "--on", "ray://head:10001"]) == 2
    error = capsys.readouterr().err
    assert shown in error and "RAY_AUTH_TOKEN" in error and error.count("\n") == 1
