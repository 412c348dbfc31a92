"""Rebuilds reports/ from reports/data/*.json: pages and figures, without a device or torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from archscope.errors import ArchscopeError
from archscope.files import replace_file
from reports.data import Data
from reports.page import Figure, Page

FIGURES = "figures"
STAMPS = f"{FIGURES}/charts.json"
"""What each figure was drawn from, as a digest, and with which matplotlib."""


def pages(data: Data) -> tuple[Page, ...]:
    """All articles, in the order of the index."""
    from reports.articles import (
        corrections,
        coverage,
        equal_cost,
        family_tree,
        group_count,
        growth_rate,
        normalisation,
        resnet50_on_v100,
        signal_propagation,
        unequal_time,
        verification,
    )

    articles = (
        equal_cost, resnet50_on_v100, unequal_time, group_count, family_tree, growth_rate,
        normalisation,
        signal_propagation, verification, coverage, corrections,
    )  # fmt: skip
    return tuple(article.page(data) for article in articles)


def files(data: Data) -> dict[str, bytes]:
    """Every generated file of reports/ by its path there."""
    from archscope.render import plots

    articles = pages(data)
    made = {f"{page.slug}.md": page.markdown(data).encode() for page in articles}
    made["README.md"] = index(articles, data).encode()
    figures = {figure.file: figure for page in articles for figure in page.figures}
    for name, figure in figures.items():
        made[f"{FIGURES}/{name}"] = plots.image(figure.charts, "svg")
    made[STAMPS] = stamps(tuple(figures.values())).encode()
    return made


def stamps(figures: tuple[Figure, ...]) -> str:
    """The digest of what each figure draws, as JSON."""
    import matplotlib

    digests = {
        figure.file: hashlib.sha256(repr(figure.charts).encode()).hexdigest() for figure in figures
    }
    return json.dumps({"matplotlib": matplotlib.__version__, "charts": digests}, indent=1) + "\n"


def index(articles: tuple[Page, ...], data: Data) -> str:
    """reports/README.md."""
    lines = [
        "# Reports",
        "",
        "Short articles whose every number is counted or measured by archscope.",
        "Their sentences are written from the numbers, so the two always agree.",
        "",
    ]
    lines += [f"- [{page.title}]({page.slug}.md): {page.summary}" for page in articles]
    lines += [
        "",
        "`python -m reports` rebuilds this folder from `data/*.json`, without a GPU and without "
        "building a network.",
        "`python -m reports --count` first counts the networks again, and "
        "`python -m reports --measure` measures them.",
        "",
        data.stamp(),
    ]
    return "\n".join(lines) + "\n"


def rebuild(folder: Path) -> list[Path]:
    """Write every page and figure of a reports/ folder from its data.

    A page or figure that no article makes any more is removed from `figures/`.

    Raises:
        ArchscopeError: the folder has no data, or a file cannot be written.
    """
    made = files(Data.load(folder / "data"))
    try:
        (folder / FIGURES).mkdir(exist_ok=True)
        for name, content in made.items():
            replace_file(folder / name, content)
        for old in (folder / FIGURES).glob("*.svg"):
            if f"{FIGURES}/{old.name}" not in made:
                old.unlink()
    except OSError as error:
        raise ArchscopeError(
            str(folder), f"cannot be written ({error.strerror})", "check it"
        ) from None
    return [folder / name for name in made]
