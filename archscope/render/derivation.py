"""Derivations → terminal, Markdown with LaTeX formulas, HTML, LaTeX.

A formula is written once, in the notation of terminal, CSV and JSON: `C_out`, `·`, `⌊(…)/s⌋`.
LaTeX and HTML translate that notation sign by sign. A tree of terms in its place would have to be
written out for the other four, and a formula would be a constructor where it now reads as itself.
"""

from __future__ import annotations

import codecs
import re
from html import escape

from archscope.inert import printable
from archscope.render import cells
from archscope.render.markdown import escaped
from archscope.table import Derivation, Step

INDENT = "  "


def terminal(
    derivation: Derivation, width: int = 120, color: bool = False, *, encoding: str = "utf-8"
) -> str:
    """Write title and steps, labels in one column, long lines wrapped under their beginning."""
    unicode = codecs.lookup(encoding).name.startswith("utf")

    def safe(text: str) -> str:
        shown = printable(text)
        return shown if unicode else cells.ascii_safe(_plain(shown))

    def bold(text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if color else text

    label_width = max((len(step.label) for step in derivation.steps), default=0)
    room = max(20, width - len(INDENT) - label_width - 2)
    lines = [bold(line) for line in cells.wrapped(safe(derivation.title), width)]
    for step in derivation.steps:
        label = safe(step.label).ljust(label_width)
        for index, line in enumerate(cells.wrapped(safe(step.text), room)):
            lines.append(f"{INDENT}{label if not index else ' ' * label_width}  {line}")
    return "\n".join(lines) + "\n"


_PLAIN = str.maketrans({"⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "·": "*", "−": "-"})


def _plain(text: str) -> str:
    """Brackets and products that ASCII can hold."""
    return text.translate(_PLAIN)


def markdown(derivation: Derivation) -> str:
    """Write a heading and a list; formulas as LaTeX between dollar signs."""
    lines = [f"### {escaped(derivation.title)}", ""]
    for step in derivation.steps:
        body = f"${math(step.text)}$" if step.kind == "formula" else escaped(step.text)
        lines.append(f"- **{escaped(step.label)}**: {body}")
    return "\n".join(lines) + "\n"


def html(derivation: Derivation) -> str:
    """Write a section with a definition list."""
    steps = "".join(
        f"<dt>{escape(printable(step.label))}</dt><dd{_role(step)}>{_html_text(step)}</dd>"
        for step in derivation.steps
    )
    title = escape(printable(derivation.title))
    return f'<section class="derivation"><h2>{title}</h2><dl>{steps}</dl></section>'


STYLE = """\
.derivation h2 { font-size: 1.05em; margin: 1.2em 0 .3em; }
.derivation dl { display: grid; grid-template-columns: 17em minmax(0, 1fr); gap: .15em 1.2em;
  margin: 0; }
@media (max-width: 40em) { .derivation dl { grid-template-columns: minmax(0, 1fr); }
  .derivation dd { margin-bottom: .4em; } }
.derivation dt { opacity: .8; }
.derivation dd { margin: 0; overflow-wrap: anywhere; }
.derivation dd.formula { font-variant-numeric: tabular-nums; }
.derivation var { font-style: italic; }
"""

_NAME = re.compile(r"(?<![A-Za-z])([A-Za-z]+)_([A-Za-z]+)(?![A-Za-z])")


def _role(step: Step) -> str:
    return ' class="formula"' if step.kind == "formula" else ""


def _html_text(step: Step) -> str:
    text = escape(printable(step.text))
    if step.kind == "prose":
        return text
    return _NAME.sub(r"<var>\1<sub>\2</sub></var>", text)


def latex(derivation: Derivation) -> str:
    """Write a description list under a paragraph heading."""
    from archscope.render.latex import escaped as text

    items = [
        rf"  \item[{text(step.label)}] "
        + (f"${math(step.text)}$" if step.kind == "formula" else text(step.text))
        for step in derivation.steps
    ]
    lines = [rf"\paragraph{{{text(derivation.title)}}}", r"\begin{description}", *items]
    return "\n".join([*lines, r"\end{description}"]) + "\n"


_FRACTION = re.compile(r"([⌊⌈])\(([^⌊⌋⌈⌉]*)\)/([A-Za-z0-9]+)([⌋⌉])")
_BRACKETS = {"⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil"}
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}(?: [A-Za-z]+)*")
_MARKUP = re.compile(r"[\\${}#&~^<>|`]")
_SIGNS = {"≥": r"\geq ", "·": r" \cdot ", "−": "-", "×": r" \times ", "%": r"\%"}


def math(formula: str) -> str:
    """A formula as LaTeX mathematics.

    What a name in it would make of LaTeX or Markdown stands as its code, `[U+005C]`.
    `⌊(28 + 2·2 − 5)/1⌋ + 1` becomes a floor around a fraction, `C_out` an index, words upright.
    """
    shown = _MARKUP.sub(lambda m: f"[U+{ord(m[0]):04X}]", printable(formula))
    shown = _NAME.sub(lambda m: f"{m[1]}_\N{LEFT WHITE CURLY BRACKET}{m[2]}", shown)
    shown = _WORDS.sub(_upright, shown)
    shown = re.sub("\N{LEFT WHITE CURLY BRACKET}([A-Za-z]+)", r"{\\text{\1}}", shown)
    shown = _FRACTION.sub(
        lambda m: rf"\left{_BRACKETS[m[1]]}\frac{{{m[2]}}}{{{m[3]}}}\right{_BRACKETS[m[4]]}", shown
    )
    shown = re.sub(r"(?<=\d),(?=\d{3})", "{,}", shown)
    for sign, command in {**_SIGNS, **{k: f"{v} " for k, v in _BRACKETS.items()}}.items():
        shown = shown.replace(sign, command)
    return re.sub(" +", " ", shown).strip()


def _upright(match: re.Match[str]) -> str:
    """Words as text; an index is marked already and stays."""
    before = match.string[match.start() - 1 : match.start()]
    if before == "\N{LEFT WHITE CURLY BRACKET}":
        return match[0]
    return rf"\text{{{match[0]}}}"
