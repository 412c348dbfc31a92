"""archscope's count beside those of other tools and of publications, with why they differ."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from importlib import util
from typing import TYPE_CHECKING, Any

from archscope import wording
from archscope.ask.network.allowance import require_memory, with_allowance
from archscope.ask.target import Target
from archscope.ask.travel import Luggage, decided_by
from archscope.ask.verify.figures import UNKNOWN, Disagreement, Figure, Verification, read
from archscope.engines.engine import Engine, Lost
from archscope.engines.local import HERE
from archscope.engines.place import Work
from archscope.errors import ArchscopeError
from archscope.peers.conventions import CONVENTIONS
from archscope.peers.reasons import Convention, Operator, Part, explained
from archscope.peers.runs import PEERS, Peer, PeerCount
from archscope.peers.tools import Counted
from archscope.records import Analysis, Layer
from archscope.saved.journal import Journal
from archscope.saved.journal_lines import address, versions
from archscope.saved.long_run import LongRun
from archscope.units import parse_count, seconds

if TYPE_CHECKING:
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.engines.shard import Shard
    from archscope.saved.journal import Key


def verify(
    target: Target,
    *,
    peers: Sequence[Peer] = PEERS,
) -> Verification:
    """Count a network with every tool that is installed, and compare with what is published.

    The backward pass is compared where there is one.

    Args:
        target: the network with its call.
        peers: the tools to ask.

    Raises:
        ArchscopeError: archscope itself cannot count the network.
    """
    from archscope.ask.count import analyse_both_passes

    analysis = analyse_both_passes(target)
    if not analysis.backward_traced:
        peers = [peer for peer in peers if peer.quantity != "macs_training"]
    subject, call = target.called()
    ran = _Operators(subject, call)
    counts = _peer_counts(subject, call, analysis.executed_on == "meta", peers)
    figures = [_figure(count, analysis, ran) for count in counts]
    figures += _published(analysis, _as_it_comes(target))
    gap = wording.missing_formulas(analysis.coverage)
    figures = [f if f.quantity == "params" else replace(f, gap=gap) for f in figures]
    return Verification(analysis.model, str(analysis.input), tuple(figures), analysis.notes)


def verify_named(name: str) -> Verification:
    """Verify a network as it comes; see `verify`."""
    return verify(Target(name))


def _as_it_comes(target: Target) -> bool:
    """Whether a network is asked for as it is published: its default input, no keyword."""
    return target.input is None and target.batch is None and not target.keywords


def all_names() -> list[str]:
    """Every network of torchvision, and of timm where it is installed.

    Torchvision's quantizable networks have the layers of those without the prefix.
    """
    from archscope.resolve import timm_models, vision

    names = [name for name in vision.names() if not name.startswith("quantized_")]
    if util.find_spec("timm") is not None:
        names += [f"timm:{name}" for name in timm_models.names()]
    return names


def names_of(shard: Shard) -> list[str]:
    """Those of them that a shard verifies."""
    return list(shard.of(all_names()))


def long_run(shard: Shard) -> LongRun:
    """A part of verifying all of them as a run that a journal holds."""
    run = {**identity(all_names()), **shard.identity}
    return LongRun("verify-all.jsonl", run, key(), state, len(names_of(shard)), "networks")


def identity(names: Sequence[str]) -> dict[str, Any]:
    """Which networks are verified, for the first line of a journal."""
    return {"verify": list(names)}


def key() -> Key:
    """What decides their figures besides."""
    from archscope.saved import answers

    return answers.Deciding(("", {}))  # every installed package is in it, those of the peers too


def _packages() -> tuple[str, ...]:
    """The tools' versions decide a figure as PyTorch's do."""
    peers = (peer.package for peer in PEERS)
    return tuple(dict.fromkeys(("torch", "torchvision", "timm", *peers)))


def work() -> Work:
    """What an engine must know of verifying."""
    return Work(packages=_packages())


def _decided_by() -> dict[str, str]:
    """The versions behind a figure, alike on every machine where it is the same."""
    return {**decided_by(Luggage("")), **versions(_packages())}


def verify_each(
    names: Sequence[str],
    one: Callable[[str], Verification],
    progress: Callable[[str], None],
    journal: Journal | None = None,
    engine: Engine = HERE,
) -> tuple[list[Verification], dict[str, str]]:
    """Verify networks, each as one task.

    Args:
        names: of the networks.
        one: verifies a network, or raises an ArchscopeError that says why not.
        progress: called with one line a network when it is done; on a cluster it says how many
            nodes serve, and how long the others take at this pace.
        journal: gets each network as it is done; those that it holds already are not run again.
        engine: where they are verified.

    Returns:
        the verifications, and why the other networks cannot be counted, by name.
    """
    done = {} if journal is None else {entry["name"]: entry for entry in journal.entries}
    for number, name in enumerate((name for name in names if name in done), 1):
        progress(f"{number}/{len(names)} {name}: {state(done[name])}")
    waiting = [name for name in names if name not in done]
    decisive, began = _decided_by(), time.monotonic()
    for index, found in engine.completed(with_allowance(partial(_entry, one)), waiting):
        name = waiting[index]
        if isinstance(found, Lost):
            entry: dict[str, Any] = {"name": name, "found": None, "failure": str(found)}
        else:
            entry = found
        done[name] = entry
        if journal is not None:
            saved = {**entry, **address({"verify": name}, decisive)}
            (journal.note if isinstance(found, Lost) else journal.add)(saved)
        pace = (time.monotonic() - began) / (len(done) - len(names) + len(waiting))
        left = f", {engine.place}, {seconds(pace * (len(names) - len(done)))} left"
        place = left if engine.place and len(done) < len(names) else ""
        progress(f"{len(done)}/{len(names)} {name}: {state(entry)}{place}")
    return apart([done[name] for name in names])


def apart(entries: Sequence[Mapping[str, Any]]) -> tuple[list[Verification], dict[str, str]]:
    """The verifications of a journal's entries, and why the other networks cannot be counted."""
    verified = [read(entry["found"]) for entry in entries if entry["found"]]
    return verified, {entry["name"]: entry["failure"] for entry in entries if not entry["found"]}


def _entry(one: Callable[[str], Verification], name: str) -> dict[str, Any]:
    """One network as a line of a journal."""
    try:
        return {"name": name, "found": asdict(one(name)), "failure": ""}
    except ArchscopeError as error:
        return {"name": name, "found": None, "failure": error.problem}


def state(entry: Mapping[str, Any]) -> str:
    """What became of one network, in a line.

    Raises:
        ValueError: the entry is damaged.
    """
    if not (isinstance(entry.get("name"), str) and {"found", "failure"} <= entry.keys()):
        raise ValueError("an entry lacks a field")
    if not entry["found"]:
        return str(entry["failure"])
    return "explained" if read(entry["found"]).passed else UNKNOWN


@dataclass
class _Operators:
    """The operators of a network, which runs once more where a figure has to be explained."""

    subject: Subject
    call: NetworkCall

    @cached_property
    def by_module(self) -> Mapping[str, Sequence[Operator]]:
        from archscope.ask.verify.operators import operators

        return operators(self.subject, self.call)


def _peer_counts(
    subject: Subject, call: NetworkCall, on_meta: bool, peers: Sequence[Peer]
) -> Iterator[PeerCount]:
    import copy

    from archscope.resolve import weightless_copy

    real: Any = None
    for peer in (peer for peer in peers if peer.installed):
        if not peer.weights and on_meta:
            yield peer(weightless_copy(subject.module).eval(), call.on_meta())
        elif subject.rebuild is None:
            yield PeerCount(peer, None, "needs a network with weights")
        else:
            if real is None:
                try:
                    require_memory(subject, (), "counting with its weights")
                except ArchscopeError as error:
                    yield PeerCount(peer, None, f"{error.problem}; {error.remedy}")
                    continue
                real = subject.rebuild()
                real = (copy.deepcopy(real) if real is subject.module else real).eval()
            yield peer(real, call.with_values())


def _figure(count: PeerCount, analysis: Analysis, ran: _Operators) -> Figure:
    total, peer, counted = analysis.total, count.peer, count.counted
    ours = total.macs + (total.macs_backward or 0) * (peer.quantity == "macs_training")
    if counted is None:
        return Figure(peer.quantity, peer.source, None, ours, failure=count.failure)
    figure = Figure(peer.quantity, peer.source, counted.macs, ours)
    if figure.agrees:
        return figure
    conventions = CONVENTIONS.get((peer.tool, peer.quantity), ())
    if counted.own is None:
        reasons = explained(counted.macs - ours, Part(analysis.calls), conventions)
        return replace(figure, reasons=tuple(reason.sentence for reason in reasons or ()))
    disagreements = tuple(_disagreements(counted, conventions, analysis, ran))
    explained_macs = sum(disagreement.theirs - disagreement.ours for disagreement in disagreements)
    known = (
        all(disagreement.reason for disagreement in disagreements)
        and explained_macs == counted.macs - ours
    )
    sentences = dict.fromkeys(
        reason for p in disagreements for reason in p.reason.split("; ") if known
    )
    return replace(figure, reasons=tuple(sentences), disagreements=disagreements)


def _disagreements(
    counted: Counted, conventions: Sequence[Convention], analysis: Analysis, ran: _Operators
) -> Iterator[Disagreement]:
    """The modules whose own figures differ; all calls of a module count as one."""
    own = counted.own or {}
    calls: dict[str, list[Layer]] = defaultdict(list)
    for layer in analysis.calls:
        calls[layer.name].append(layer)
    for name in dict.fromkeys([*calls, *own]):
        theirs = own.get(name, 0)
        ours = sum(layer.macs for layer in calls[name])
        if theirs != ours:
            part = Part(calls[name], ran.by_module.get(name, ()), counted.separate.get(name, {}))
            reasons = explained(theirs - ours, part, conventions)
            text = "; ".join(reason.sentence for reason in reasons or ())
            kind = calls[name][0].kind if calls[name] else ""
            yield Disagreement(name, kind, theirs, ours, text)


# Published figures


def _published(analysis: Analysis, usual: bool) -> Iterator[Figure]:
    """What torchvision's metadata or the zoo's papers state of the network as it comes."""
    from archscope import zoo

    if not usual:
        return
    if analysis.model in zoo.names():
        for quantity, stated, where in zoo.card(analysis.model).published:
            figure = _paper(analysis, quantity, stated, where)
            if figure is not None:
                yield figure
    elif "torchvision" in dict(analysis.versions):
        yield from _torchvision(analysis)


def _paper(analysis: Analysis, quantity: str, stated: object, where: str) -> Figure | None:
    """A paper's number, which may be cut as well as rounded at its last digit."""
    if quantity not in ("macs", "params"):
        return None
    text = str(stated)
    if isinstance(stated, int):
        number, unit = stated, 0.0
    else:
        try:
            number = parse_count(text, quantity)
        except ArchscopeError:
            return None
        unit = _last_digit(text)
    ours = getattr(analysis.total, quantity)
    return Figure(quantity, f"paper, {where}", number, ours, unit)


def _last_digit(text: str) -> float:
    """What one in the last digit of `25.6M` or `3800000000.0` is worth."""
    match = re.match(r"\s*([0-9.]+)(.*)", text)
    assert match is not None  # parse_count has read it
    digits, rest = match[1], match[2]
    if not rest and float(digits) >= 1000:
        whole = digits.split(".")[0]
        return float(10 ** (len(whole) - max(2, len(whole.rstrip("0")))))
    places = len(digits.partition(".")[2])
    return 10.0**-places * parse_count(f"1{rest}", text)


def _torchvision(analysis: Analysis) -> Iterator[Figure]:
    from archscope.resolve import published

    facts = published(analysis.model.removeprefix("torchvision:"))
    if facts["input"].sample_shapes != analysis.input.sample_shapes:
        return
    source = f"torchvision's metadata, {facts['entry']}"
    params = int(facts["num_params"])
    ours = analysis.total.params
    yield Figure("params", source, params, ours, reasons=_why_params(analysis, params - ours))
    if facts["gmacs"]:
        stated = round(facts["gmacs"] * 1e9)
        reasons = (
            ("depends on proposals, hence on weights",) if analysis.executed_on == "cpu" else ()
        )
        yield Figure("macs", source, stated, analysis.total.macs, 0.5e6, reasons)


def _why_params(analysis: Analysis, difference: int) -> tuple[str, ...]:
    """Trained detection networks have a backbone whose BatchNorm is frozen, without parameters."""
    frozen = sum(
        layer.params
        for layer in analysis.calls
        if "BatchNorm" in layer.kind and layer.name.startswith("backbone.")
    )
    if difference and difference == -frozen:
        return ("trained weights imply a frozen BatchNorm in the backbone",)
    return ()
