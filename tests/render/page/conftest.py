"""A browser, and pages written as the commands write them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archscope import archive, summary
from archscope.cli import run
from archscope.records import Environment, LayerTime, Measurement, Profile
from archscope.records.measured import COPY

Opened = Callable[..., Any]
"""Opens an HTML file at a width and gives the browser's page."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """A page that may ask no network for anything, and on which no script may fail."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(path: Path, width: int = 1280, **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text))
        page.on("requestfinished", lambda asked: faults.extend(outside(asked.url)))
        page.on("requestfailed", lambda asked: faults.extend(outside(asked.url)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def outside(url: str) -> list[str]:
    """The address, where it is not that of the file itself."""
    return [] if url.startswith("file:") else [url]


def written(folder: Path, *arguments: str) -> Path:
    path = folder / "page.html"
    assert run([*arguments, "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("lenet"), "summary", "lenet")


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("pair"), "compare", "resnet50", "resnext50_32x4d")


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a profile: two layers of a network, timed by hand."""
    folder = tmp_path_factory.mktemp("measured")
    analysis = summary("lenet", backward=True).analysis
    rows = tuple(
        LayerTime(name, kind, seconds={"forward": forward, "backward": 2 * forward})
        for name, kind, forward in (("conv1", "Conv2d", 0.003), ("fc1", "Linear", 0.001))
    )
    profile = Profile(
        "lenet",
        analysis.input,
        Environment("cpu", (("device name", "a processor"),)),
        {"step": Measurement((0.012,) * 6, 0.012, 0.012)},
        rows,
        peaks={"fp32": 1e9, COPY: 1e9},
        analysis=analysis,
    )
    (folder / "run.json").write_text(archive.dumps(profile))
    return written(folder, "profile", str(folder / "run.json"))
