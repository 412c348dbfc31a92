"""Where a report goes: the terminal or pipe, and every file named with `-o`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from archscope.errors import ArchscopeError
from archscope.files import replace_file, require_not_read
from archscope.formats import FORMATS, Drawn, NoFigureError, format_of, is_figure, no_figure
from archscope.inert import one_line
from archscope.parameters import in_python, on_command_line, parameter
from archscope.table import Report
from archscope.units import binary_bytes

PIPE_WIDTH = 120


class Outputs(tuple[str, ...]):
    """Paths given with `-o`, and what the options beside it say."""

    drawn: Drawn = Drawn()
    piped: str = ""
    opened: bool = False

    @classmethod
    def of(
        cls, paths: Sequence[str], drawn: Drawn, format: str | None = None, opened: bool = False
    ) -> Outputs:
        """The paths with how figures are drawn, what standard output gets, and what is opened.

        Args:
            paths: files; `-` for standard output, in place of the tables.
            drawn: of the figures among them.
            format: of standard output, as a suffix without its dot: `csv`.
            opened: whether a browser shows the page, or the first file, once it is written.

        Raises:
            ArchscopeError: a chart or a size is given, and no figure is written; standard output
                without a format.
        """
        made = cls(path for path in paths if path != STANDARD_OUTPUT)
        if len(made) < len(paths) and format is None:
            known = ", ".join(suffix[1:] for suffix in FORMATS)
            remedy = f"add {parameter('format', 'csv')}, or another of {known}"
            raise ArchscopeError(parameter("output", STANDARD_OUTPUT), "needs a format", remedy)
        made.piped = "" if format is None else f"{STANDARD_OUTPUT}.{format}"
        if made.piped:
            _check_format(made.piped, str(format))
        made.opened = opened
        return made.drawn_as(drawn)

    def drawn_as(self, drawn: Drawn) -> Outputs:
        """These files with their figures drawn so.

        Raises:
            ArchscopeError: there is something to say of figures, and none among the files.
        """
        if drawn != Drawn() and not any(map(is_figure, (*self, self.piped))):
            option = "size" if drawn.chart is None else "chart"
            remedy = "write a .png, .svg or .pdf file"
            raise ArchscopeError(parameter(option), "goes with a figure", remedy)
        self.drawn = drawn
        return self


STANDARD_OUTPUT = "-"


def _check_format(path: str, name: str) -> None:
    """Refuse an unknown `--format` by that name, not as the suffix that it makes."""
    try:
        format_of(path)
    except ArchscopeError:
        known = ", ".join(suffix[1:] for suffix in FORMATS)
        remedy = f"use one of {known}"
        raise ArchscopeError(parameter("format", name), "unknown format", remedy) from None


def check_outputs(paths: Sequence[str], *, figures: bool = True) -> None:
    """Refuse what `write` could not write, before any long computation.

    Args:
        paths: files to write.
        figures: whether the command can have one.

    Raises:
        ArchscopeError: an unknown suffix, a missing or read-only folder, a folder, a read-only
            file, a journal or a file to read as the file, a figure of a command that has none.
    """
    for path in paths:
        format_of(path)
        if is_figure(path) and not figures:
            raise no_figure(path)
        check_file(path, parameter("output", path))


def check_file(path: str, named: str) -> None:
    """Refuse a file that cannot be written, or that must not be, whatever its format.

    Args:
        path: of the file.
        named: what a message calls it.

    Raises:
        ArchscopeError: as `check_outputs`.
    """
    target = Path(path)
    if target.is_dir():
        raise ArchscopeError(named, "is a folder", "name a file in it")
    if target.is_file():
        _require_replaceable(target, named)
    require_not_read(path, named)
    if not target.parent.is_dir():
        raise ArchscopeError(named, "its folder does not exist", "create it first")
    if not os.access(target.parent, os.W_OK):
        raise ArchscopeError(named, "its folder is read-only", "choose another")


def _require_replaceable(target: Path, named: str) -> None:
    from archscope.saved.journal_lines import is_journal

    if not os.access(target, os.W_OK):
        raise ArchscopeError(named, "is read-only", "choose another")
    if is_journal(target):
        raise ArchscopeError(named, "is the journal of a run", "choose another")


def emit(report: Report, outputs: Sequence[str] = (), stream: TextIO | None = None) -> None:
    """Write the files, then print the tables, as a command does.

    Args:
        report: what to say.
        outputs: paths given with `-o`; see `write`.
        stream: standard output when `None`.

    Raises:
        ArchscopeError: as `write`; a stream that takes nothing, unless its reader has left.
    """
    report = report.worded(on_command_line)
    stream = sys.stdout if stream is None else stream
    try:
        write(report, outputs)
    except NoFigureError:
        _print(report, stream)
        raise
    if isinstance(outputs, Outputs) and outputs.piped:
        path = outputs.piped
        _send(format_of(path)(report, path, outputs.drawn), stream)
    else:
        _print(report, stream)
    for path in outputs:
        _say(f"wrote {path} ({binary_bytes(Path(path).stat().st_size)})")
    if isinstance(outputs, Outputs) and outputs.opened:
        _open(report, outputs)


def _say(text: str) -> None:
    print(one_line(text), file=sys.stderr)


def _open(report: Report, outputs: Outputs) -> None:
    """Show the page, or the first file, in a browser; a page of its own where none is written."""
    import tempfile
    import webbrowser

    pages = [path for path in outputs if path.lower().endswith(".html")]
    path = next(iter([*pages, *outputs]), "")
    if not path:
        path = str(Path(tempfile.mkdtemp(prefix="archscope-")) / "page.html")
        write(report, (path,))
    shown = _has_screen() and webbrowser.open(Path(path).resolve().as_uri())
    _say(f"opened {path} in a browser" if shown else f"no browser was found; open {path}")


def _has_screen() -> bool:
    """Whether a browser can have a window; one of the terminal's would show a page without scripts.

    `BROWSER` names one that the user wants all the same.
    """
    if sys.platform in ("darwin", "win32"):
        return True
    return any(map(os.environ.get, ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")))


def _send(content: bytes, stream: TextIO) -> None:
    """Bytes of a file to a stream, whatever its encoding."""
    with _flushed(stream):
        stream.flush()
        stream.buffer.write(content)


def write(report: Report, outputs: Sequence[str]) -> None:
    """Write a report to files; the suffix of each picks its format.

    Every file is made in memory first, so that an error leaves all of them as they were; only a
    figure that the report does not have leaves the others written.

    Raises:
        ArchscopeError: as `check_outputs`; a figure of a report without one; a failed write.
    """
    check_outputs(outputs)
    report = report.worded(in_python)
    drawn = outputs.drawn if isinstance(outputs, Outputs) else Drawn()
    without = [path for path in outputs if is_figure(path) and not report.has_figure]
    written = [path for path in outputs if path not in without]
    contents = [(path, format_of(path)(report, path, drawn)) for path in written]
    for path, content in contents:
        replace_file(path, content, parameter("output", path))
    for path in without:
        raise no_figure(path)


@dataclass(frozen=True)
class Screen:
    """What a stream can show.

    Args:
        width: columns; `COLUMNS` decides, then the terminal, and 120 in a pipe.
        color: a terminal that is not `TERM=dumb`, without `NO_COLOR`.
        shorten: names may be cut on a terminal; in a pipe only where nothing else makes a table
            as narrow as `COLUMNS` says.
        exact: whether `COLUMNS` says how wide it is.
    """

    width: int
    color: bool
    encoding: str
    shorten: bool
    exact: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Screen:
        """Look at a stream and the environment."""
        tty = stream.isatty()
        columns = os.environ.get("COLUMNS", "")
        exact = columns.isdecimal() and int(columns) > 0
        own = shutil.get_terminal_size().columns if tty else PIPE_WIDTH
        width = int(columns) if exact else own
        color = tty and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
        return cls(width, color, getattr(stream, "encoding", None) or "utf-8", tty, exact)


def printed(report: Report, screen: Screen) -> str:
    """A report as a screen shows it."""
    from archscope.render import derivation
    from archscope.render.cells import cell_width
    from archscope.render.text import answer_line, terminal

    report = report.worded(in_python)
    width, color, encoding = screen.width, screen.color, screen.encoding
    texts = [answer_line(report, width, color, encoding=encoding)] if report.answer else []
    texts += [
        derivation.terminal(item, screen.width, screen.color, encoding=screen.encoding)
        for item in report.derivations
    ]
    for table in report.tables:
        text = terminal(table, width, color, encoding=encoding, shorten=screen.shorten)
        if screen.exact and max(map(cell_width, text.splitlines())) > width:
            text = terminal(table, width, color, encoding=encoding, shorten=True)
        texts.append(text)
    return "\n".join(texts)


def _print(report: Report, stream: TextIO) -> None:
    text = printed(report, Screen.of(stream))
    with _flushed(stream):
        stream.write(text)


@contextmanager
def _flushed(stream: TextIO) -> Iterator[None]:
    """Flush what is written inside; a reader (`| head`) that has seen enough is no mistake."""
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
    except OSError as error:
        _silence(stream)
        raise unwritable(error) from None


def unwritable(error: OSError) -> ArchscopeError:
    """What to tell of a standard output that takes nothing."""
    reason = error.strerror or type(error).__name__
    return ArchscopeError("standard output", f"cannot be written ({reason})", "send it elsewhere")


def check_flushed(stream: TextIO) -> None:
    """Find out whether a failure of the system was that of an output stream.

    What a failed flush leaves in the buffer makes the next one fail as well.

    Raises:
        ArchscopeError: the stream does not take what was written to it.
    """
    try:
        stream.flush()
    except OSError as error:
        _silence(stream)
        raise unwritable(error) from None


def _silence(stream: TextIO) -> None:
    """Drop what is left; the interpreter flushes once more at exit and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
