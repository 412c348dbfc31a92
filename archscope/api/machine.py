"""What is of this machine: the cache folder, and the recorder that is copied from it."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from archscope.api.answer import Answer

if TYPE_CHECKING:
    from archscope.saved.overview import Held


def cache(*, clear: bool = False) -> Answer[tuple[Held, ...]]:
    """The counts, roofs and journals saved by earlier runs.

    Args:
        clear: remove them; the answer is what there was.

    Examples:
        >>> archscope.cache(clear=True).record[0].kind
        'counts'
        >>> archscope.cache().record[0].entries
        0
    """
    from archscope.saved import overview
    from archscope.study.cache import info_report

    held = overview.clear() if clear else overview.held()
    return Answer(held, lambda: info_report(held))


def recorder() -> str:
    """The text of a file that records a trace for `trace`, and needs PyTorch alone.

    Examples:
        >>> _ = pathlib.Path("record.py").write_text(archscope.recorder(), encoding="utf-8")
    """
    return resources.files("archscope.measure").joinpath("record.py").read_text("utf-8")
