"""What a network, and a call of one of its modules, is called in titles and rows."""

from __future__ import annotations

from collections.abc import Sequence


def network_title(model: str, keywords: Sequence[tuple[str, str]]) -> str:
    """The name with the constructor keywords behind it: `resnet18 (groups=2)`."""
    given = ", ".join(f"{key}={value}" for key, value in keywords)
    return f"{model} ({given})" if given else model


def call_title(name: str, kind: str, call: int) -> str:
    """The module's name (its class where it is the network itself), and which call of several."""
    return (name or kind) + (f" (call {call + 1})" if call else "")
