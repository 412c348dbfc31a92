"""What must be run: clocks, profiler events, device peaks."""

import os


def silence_profiler() -> None:
    """Keep the profiler's library from writing to stderr; it asks once, when torch is loaded."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
