"""An SVG image of matplotlib in fewer bytes, for a page that holds it."""

from __future__ import annotations

import re

_UNSEEN = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_NAME = re.compile(r' id="([^"]*)"')
_PATH = re.compile(r' d="([^"]*)"')
_LETTER = re.compile(r' d="([^"]*)" transform="scale\(0\.015625\)"')
_STEP = re.compile(r"([MLQCz])([^MLQCz]*)")
_BREAK = re.compile(r"\s*\n\s*")


def compact(svg: str) -> str:
    """The same drawing, without what only a reader of its text sees."""
    svg = _UNSEEN.sub("", svg)
    svg = _numbered(svg)
    svg = _LETTER.sub(_coarser, svg)
    svg = _PATH.sub(lambda found: f' d="{_relative(found[1])}"', svg)
    return _BREAK.sub(" ", svg).replace("> <", "><").replace("; ", ";").replace(": ", ":").strip()


def _numbered(svg: str) -> str:
    """Short names, for what is referred to alone."""
    used = dict.fromkeys(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg))
    names = {"".join(name): f"n{place}" for place, name in enumerate(used)}
    svg = _NAME.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", svg)
    svg = re.sub(r'href="#([^"]+)"', lambda found: f'href="#{names[found[1]]}"', svg)
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{names[found[1]]})", svg)


def _coarser(letter: re.Match[str]) -> str:
    """A letter on a grid of a 400th of its height, which is a 40th of a point."""
    path = re.sub(r"-?\d+", lambda number: str(round(int(number[0]) / 16)), letter[1])
    return f' d="{path}" transform="scale(.25)"'


def _relative(path: str) -> str:
    """A path of straight lines and curves as steps from the point before, in hundredths."""
    made: list[str] = []
    here = start = (0, 0)
    for command, text in _STEP.findall(path):
        if command == "z":
            made.append("z")
            here = start
            continue
        numbers = [round(100 * float(number)) for number in text.split()]
        steps = [number - here[place % 2] for place, number in enumerate(numbers)]
        here = (numbers[-2], numbers[-1])
        if command == "M":
            start = here
        made.append(command.lower() + " ".join(map(_hundredths, steps)).replace(" -", "-"))
    return "".join(made)


def _hundredths(number: int) -> str:
    return f"{number / 100:.2f}".rstrip("0").rstrip(".") if number % 100 else str(number // 100)
