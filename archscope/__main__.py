"""`python -m archscope`, and the script of that name: what answers Ctrl-C comes first."""

# `signal` takes a hundredth of a second to import, in which Ctrl-C would be answered by Python.
import _signal  # type: ignore[import-not-found]
import os

from archscope import hiding


def leave(*_: object) -> None:
    """End the process with one line, and nothing else."""
    try:
        os.write(2, b"archscope: interrupted\n")
    finally:
        os._exit(130)  # `interruption.EXIT_CODE`, before that is imported


def _blame(error: Exception) -> None:
    """End the process with one line where a file hides one of Python's modules."""
    said = hiding.hidden(error)
    if said:
        os.write(2, f"archscope: {said}\n".encode(errors="replace"))
        os._exit(2)


def main() -> None:
    """Run the command line; a process that was started deaf to Ctrl-C stays so."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, leave)
    try:
        from archscope import interruption
        from archscope.cli import main as command_line

        interruption.watch(leave)
        command_line()
    except SystemExit as end:
        from archscope import interruption

        interruption.end(end.code)
    except Exception as error:  # of an import: the command line itself ends by `SystemExit`
        _blame(error)
        raise


if __name__ == "__main__":
    hiding.search_here_last()
    main()
