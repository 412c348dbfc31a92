"""Compare networks of timm, one of every so many names, with fvcore and PyTorch's counter.

Usage: python benchmarks/verify_timm.py [--step 16] [--most-parameters 400e6] [--seconds 400]

Writes reports/data/verify-timm.json.
Finished networks are kept beside it while it runs, so that the same command goes on after a kill.
fvcore needs real weights and a real run: networks that are too large or too slow are left out, and
the file says which.
"""

from __future__ import annotations

import argparse
import json
import signal
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import timm

import archscope
from archscope.study.journal import Journal
from archscope.study.peers import PEERS
from archscope.study.verification import Verification, dumps, read
from archscope.study.verify import identity, verify

DATA = Path(__file__).parent.parent / "reports" / "data" / "verify-timm.json"
TOOLS = tuple(peer for peer in PEERS if peer.package in ("fvcore", "torch"))


def entry(name: str, most_parameters: float, seconds: int) -> dict[str, Any]:
    """One network as a line of the journal, like those of `archscope verify --all`."""
    try:
        parameters = archscope.summary(name).total.params
        if parameters > most_parameters:
            return failed(name, f"left out: {parameters:,} parameters")
        signal.alarm(seconds)
        return {"name": name, "found": asdict(shortened(verify(name, peers=TOOLS)))}
    except archscope.ArchscopeError as error:
        return failed(name, error.problem)
    except TooSlow:
        return failed(name, f"left out: longer than {seconds} s")
    finally:
        signal.alarm(0)


def failed(name: str, why: str) -> dict[str, Any]:
    return {"name": name, "found": None, "failure": why}


def shortened(found: Verification) -> Verification:
    """Without the layers whose reason is known: totals and reasons stay."""
    figures = (
        replace(figure, partings=tuple(part for part in figure.partings if not part.reason))
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
    beside = DATA.with_name(".verify-timm.jsonl")
    with Journal(beside, identity(names), resume=beside.exists()) as journal:
        done = {one["name"] for one in journal.entries}
        for name in names:
            if name not in done:
                journal.add(entry(name, options.most_parameters, options.seconds))
                print(f"{len(journal.entries)}/{len(names)} {name}", flush=True)
        entries = journal.entries
    text = dumps(
        [read(one["found"]) for one in entries if one["found"]],
        {one["name"]: one["failure"] for one in entries if not one["found"]},
    )
    sample = {"timm": timm.__version__, "step": options.step}
    DATA.write_text(f"{json.dumps(sample)[:-1]}, {text[1:]}", encoding="utf-8")
    beside.unlink()


if __name__ == "__main__":
    main()
