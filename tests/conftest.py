"""What holds for every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archscope.saved import cache

# Read when torch is imported: the networks here are so small that two threads wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share a run of the default suite between two processes, unless `-n` says otherwise.

    A few files named on the command line are done sooner by one process, and tests that measure
    (`-m gpu`) want the machine for themselves. The workers come here too, and must start none.
    """
    option = config.option
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    free = getattr(option, "numprocesses", 0) is None and not option.usepdb
    worker = hasattr(config, "workerinput")
    if everything and free and not worker and option.markexpr == "not slow":
        option.numprocesses, option.dist = 2, "loadfile"


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Neither read nor write the cache of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.FOLDER_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _width_of_a_pipe() -> Iterator[None]:
    """Tables as wide as in a pipe, whatever terminal the tests are run from.

    `readline`, where a parent process imported it, leaves `COLUMNS` to its children.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(autouse=True)
def _formulas_of_this_test_alone() -> Iterator[None]:
    """A formula that is registered counts for the process, and makes its saved answers doubtful."""
    yield
    rules = sys.modules.get("archscope.analysis.rules")
    if rules is not None:
        rules.REGISTERED.clear()


@pytest.fixture
def certain_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, and a process that saves answers as that of the command line does."""
    from archscope.analysis import rules
    from archscope.resolve import user_code, watch
    from archscope.saved import answers

    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(answers._Process, "policy", "always")
    monkeypatch.setattr(answers._Process, "put", 0)
    monkeypatch.setattr(user_code, "USER_CODE", set())
    monkeypatch.setattr(watch._Process, "uncertain", set())
    monkeypatch.setattr(rules, "REGISTERED", {})
    answers._sources.cache_clear()
    yield
    answers._sources.cache_clear()
