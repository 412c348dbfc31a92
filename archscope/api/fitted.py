"""What a fit returns: a device of the user's own, which is saved as a device file."""

from __future__ import annotations

import os
import warnings

from archscope.api.answer import Answer, texts_of
from archscope.errors import ArchscopeError
from archscope.files import noting_reads, replace_file
from archscope.latency.calibration import Calibrated
from archscope.output import check_outputs


class Fitted(Answer[Calibrated]):
    """A device that was fitted to measurements; saved as `.json` it is a device file."""

    def save(
        self,
        *paths: str | os.PathLike[str],
        chart: str | None = None,
        size: tuple[float, float] | None = None,
    ) -> None:
        """Write files: a device file, which `predict` takes, where the suffix is `.json`.

        Raises:
            ArchscopeError: as `Answer.save`.
        """
        files = texts_of(paths)
        with noting_reads(self._read):
            check_outputs(files)
            super().save(*(file for file in files if not _is_device(file)), chart=chart, size=size)
            for file in filter(_is_device, files):
                replace_file(file, self.record.text().encode(), file)


def _is_device(file: str) -> bool:
    return file.endswith(".json")


def warn_left_out(failure: ArchscopeError) -> None:
    """Warn of a network that a fit goes without."""
    warnings.warn(f"left out: {failure}", stacklevel=5)
