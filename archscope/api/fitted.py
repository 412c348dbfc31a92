"""What a fit returns: a device of the user's own, which is saved as a device file."""

from __future__ import annotations

import warnings

from archscope.api.answer import Answer
from archscope.errors import ArchscopeError
from archscope.files import noting_reads, replace_file
from archscope.latency.calibration import Calibrated
from archscope.output import check_outputs


class Fitted(Answer[Calibrated]):
    """A device that was fitted to measurements; saved as `.json` it is a device file."""

    def save(self, *paths: str) -> None:
        """Write files: a device file, which `predict` takes, where the suffix is `.json`.

        Raises:
            ArchscopeError: an unknown suffix, or a file that cannot be written.
        """
        with noting_reads(self._read):
            check_outputs(paths)
            for path in paths:
                if path.endswith(".json"):
                    replace_file(path, self.record.text().encode(), path)
                else:
                    super().save(path)


def warn_left_out(failure: ArchscopeError) -> None:
    """Warn of a network that a fit goes without."""
    warnings.warn(f"left out: {failure}", stacklevel=5)
