"""How a message names a parameter: each place that shows it writes it its own way.

The rooms below the command line do not know who reads a message: `--batch 8` on the command line,
`batch=8` in Python, `batch = 8` in a budget's file. They write `parameter("batch", 8)`, which marks
name and value in the text, and whoever shows the text writes the marks out.
A value is marked as JSON, and what only looks like a mark stays as it is: the text around may hold
names out of files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

MARK = re.compile(
    r'⟦(\w+)(?:=("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|-?Infinity|NaN|true|false))?⟧', re.ASCII
)
"""A name, and the JSON of its value where it has one."""


def parameter(name: str, value: object = None) -> str:
    """Name a parameter inside a message.

    Args:
        name: as Python spells it, `train_only`.
        value: what was given or should be; `True` for what is only switched on, `None` for none.
            Anything but a number stands for its text.
    """
    if value is None:
        return f"⟦{name}⟧"
    plain = value if isinstance(value, (bool, int, float)) else str(value)
    return f"⟦{name}={json.dumps(plain)}⟧"


def marked(text: str) -> bool:
    """Whether a message names a parameter."""
    return MARK.search(text) is not None


def on_command_line(text: str) -> str:
    """Write parameters as options: `--train-only fc`."""
    return _written(text, _option)


def in_python(text: str) -> str:
    """Write parameters as keyword arguments: `train_only='fc'`."""
    return _written(text, _keyword)


def in_toml(text: str) -> str:
    """Write parameters as keys of a TOML file: `input = "3x224x224"`."""
    return _written(text, _key)


def advice_in_toml(text: str) -> str:
    """A remedy for the reader of a TOML file: the key to write where it names a value."""
    keys = (match for match in MARK.finditer(text) if match[1] != ALLOW_MEMORY)
    valued = next((match for match in keys if match[2] is not None), None)
    return in_toml(text) if valued is None else f"write {in_toml(valued[0])}"


def in_words(text: str) -> str:
    """Write parameters as words, for tables that all may read: `batch 8`."""
    return _written(text, lambda name, value: name if value in (None, True) else f"{name} {value}")


def _written(text: str, write: Callable[[str, object], str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        try:
            value = None if match[2] is None else json.loads(match[2])
        except ValueError:
            return match[0]
        return write(match[1], value)

    return MARK.sub(replaced, text)


OUTPUT = "output"
"""A file to write: `-o` on the command line, an argument without a name in Python."""

SET = "set"
"""A constructor keyword with its value, which Python passes as it is."""


ALLOW_MEMORY = "allow_memory"
"""What the machine may spend: an option also of the command that reads a file, and no key of it."""


def _keyword(name: str, value: object) -> str:
    if name in (OUTPUT, SET) and value is not None:
        return str(value)
    return name if value is None else f"{name}={value!r}"


def _option(name: str, value: object) -> str:
    option = "-o" if name == OUTPUT else f"--{name.replace('_', '-')}"
    if value is None or value is True:
        return option
    return f"{option} {value:g}" if isinstance(value, float) else f"{option} {value}"


def _key(name: str, value: object) -> str:
    if name == ALLOW_MEMORY:
        return _option(name, value)
    if value is None:
        return name
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{name} = {value}" if isinstance(value, (int, float)) else f'{name} = "{value}"'
