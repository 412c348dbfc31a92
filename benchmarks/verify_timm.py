"""Compare networks of timm, one of every so many names, with fvcore and PyTorch's counter.

Usage: python benchmarks/verify_timm.py [--step 16] [--most-parameters 400e6] [--seconds 400]

Writes reports/data/verify-timm.json.
Finished networks are kept beside it while it runs, so that the same command goes on after a kill.
fvcore needs real weights and a real run: networks that are too large or too slow are left out, and
the file says which.
"""

from __future__ import annotations

import argparse
import signal
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import timm

import archscope
from archscope.ask.target import network_target
from archscope.ask.verify.figures import Verification, dumps
from archscope.ask.verify.verify import identity, verify, verify_each
from archscope.files import replace_file
from archscope.peers.runs import PEERS
from archscope.saved.journal import Journal
from reports.data import VERIFIED_TIMM

DATA = Path(__file__).parent.parent / "reports" / "data" / VERIFIED_TIMM
TOOLS = tuple(peer for peer in PEERS if peer.package in ("fvcore", "torch"))


def verified(name: str, most_parameters: float, seconds: int) -> Verification:
    """One network, unless it is too large or too slow."""
    parameters = archscope.summary(name).total.params
    if parameters > most_parameters:
        raise archscope.ArchscopeError(name, f"left out: {parameters:,} parameters")
    signal.alarm(seconds)
    try:
        return shortened(verify(network_target(network_target(name)), peers=TOOLS))
    except TooSlow:
        raise archscope.ArchscopeError(name, f"left out: longer than {seconds} s") from None
    finally:
        signal.alarm(0)


def shortened(found: Verification) -> Verification:
    """Without the layers whose reason is known: totals and reasons stay."""
    figures = (
        replace(
            figure, disagreements=tuple(part for part in figure.disagreements if not part.reason)
        )
        for figure in found.figures
    )
    return replace(found, figures=tuple(figures))


class TooSlow(BaseException):
    """No `Exception`, which would be taken for a failure of the tool that runs."""


def expired(number: int, frame: object) -> None:
    raise TooSlow


def main() -> None:
    """Run what the journal does not hold yet, then write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=int, default=16)
    parser.add_argument("--most-parameters", type=float, default=400e6)
    parser.add_argument("--seconds", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the libraries, while they build their networks
    signal.signal(signal.SIGALRM, expired)
    names = [f"timm:{name}" for name in timm.list_models()[:: options.step]]
    one = partial(verified, most_parameters=options.most_parameters, seconds=options.seconds)
    beside = DATA.with_name(f".{DATA.stem}.jsonl")
    with Journal(beside, identity(names), resume=beside.exists()) as journal:
        found, failures = verify_each(names, one, partial(print, flush=True), journal)
    text = dumps(found, failures, timm=timm.__version__, step=options.step)
    replace_file(DATA, text.encode())
    beside.unlink()


if __name__ == "__main__":
    main()
