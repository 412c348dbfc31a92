"""Prints what the attacks did, where their number was asked for."""

from __future__ import annotations

import os

import pytest

from tests.attack.figures import FIGURES, VARIABLE, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the table of all attacks below the tests."""
    if VARIABLE in os.environ and FIGURES:
        terminalreporter.write_sep("=", "attacks")
        for line in table():
            terminalreporter.write_line(line)
