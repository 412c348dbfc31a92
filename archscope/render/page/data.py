"""Page → the JSON that its scripts read: texts by number, each once."""

from __future__ import annotations

from typing import Any

from archscope.diagram import Diagram
from archscope.inert import printable
from archscope.page import Area, LiveMemory, Network, Page, Part, Roofline
from archscope.render.graph.layout import Rectangle, layout


def page_data(page: Page) -> dict[str, Any]:
    """What the scripts get; `model.js` reads it back."""
    texts = _Texts()
    networks = [_network(network, texts) for network in page.networks]
    amounts = [
        {"key": a.key, "title": printable(a.title), "unit": a.unit, "phase": a.phase}
        for a in page.amounts
    ]
    _once(networks)
    return {"amounts": amounts, "networks": networks, "texts": texts.found}


def _once(networks: list[dict[str, Any]]) -> None:
    """Put the number of an earlier network in the place of a drawing that is the same."""
    for key in ("memory", "graph"):
        first: list[tuple[int, Any]] = []
        for number, network in enumerate(networks):
            if key not in network:
                continue
            same = next((place for place, made in first if made == network[key]), None)
            if same is None:
                first.append((number, network[key]))
            else:
                network[key] = same


class _Texts:
    """Gives every text, and every list of pairs of texts, a number."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.places: dict[Any, int] = {}

    def place(self, text: str) -> int:
        return self._placed(text, printable(text))

    def pairs(self, pairs: tuple[tuple[str, str], ...]) -> int:
        flat = [self.place(text) for pair in pairs for text in pair]
        return self._placed(pairs, flat)

    def _placed(self, key: object, value: object) -> int:
        if key not in self.places:
            self.places[key] = len(self.found)
            self.found.append(value)
        return self.places[key]


def _network(network: Network, texts: _Texts) -> dict[str, Any]:
    made: dict[str, Any] = {
        "label": printable(network.label),
        "input": printable(network.input),
        "parts": [_part(part, texts) for part in network.parts],
    }
    if network.memory is not None:
        made["memory"] = _memory(network.memory, texts)
    if network.roofline is not None:
        made["roofline"] = _roofline(network.roofline, texts)
    if network.diagram is not None:
        made["graph"] = _graph(network.diagram, texts)
    return made


def _part(part: Part, texts: _Texts) -> list[Any]:
    place = texts.place
    return [
        part.parent, place(part.label), place(part.name), place(part.kind), place(part.family),
        place(part.stage), place(part.input), place(part.output), texts.pairs(part.facts),
        texts.pairs(part.steps), list(map(_number, part.values)),
    ]  # fmt: skip


def _number(value: float | None) -> float | None:
    """Seven digits are more than a width shows; whole numbers stay exact."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


ASPECT = 0.7
"""Width over height of a drawing on a page, which has more room below than beside."""


def _graph(diagram: Diagram, texts: _Texts) -> dict[str, Any]:
    """The drawing with its places, in whole pixels."""
    placed = layout(diagram, ASPECT)

    def box(each: Rectangle) -> list[int]:
        return [round(value) for value in (each.x, each.y, each.width, each.height)]

    return {
        "size": [round(placed.width), round(placed.height)],
        "nodes": [
            [box(at), texts.place(n.name), printable(n.title), printable(n.detail),
             n.shape, n.macs, round(n.share, 4), n.family]
            for n, at in zip(diagram.nodes, placed.nodes, strict=True)
        ],
        "boxes": [
            [box(at), printable(c.title), c.times]
            for c, at in zip(diagram.clusters, placed.clusters, strict=True)
        ],
        "lines": [
            [[round(value) for point in line.points for value in point], int(line.skips),
             int(line.cornered)]
            for line in placed.lines
        ],
    }  # fmt: skip


def _memory(memory: LiveMemory, texts: _Texts) -> dict[str, Any]:
    return {
        "title": printable(memory.title),
        "note": printable(memory.note),
        "areas": [[printable(area.title), *_changes(area)] for area in memory.areas],
        "phases": [[printable(name), start] for name, start in memory.phases],
        "layers": [texts.place(layer) for layer in memory.layers],
    }


def _changes(area: Area) -> list[int]:
    """First value and then differences, most of which are zero; without the zeros at the end."""
    before = (0, *area.values)
    changes = [value - earlier for earlier, value in zip(before, area.values, strict=False)]
    while changes and not changes[-1]:
        changes.pop()
    return changes


def _roofline(roofline: Roofline, texts: _Texts) -> dict[str, Any]:
    dots = [
        [texts.place(d.name), d.phase, _number(d.operations_per_byte), _number(d.rate),
         _number(d.seconds),
         d.bound]
        for d in roofline.dots
    ]  # fmt: skip
    return {
        "title": printable(roofline.title),
        "dots": dots,
        "roofs": [[printable(name), rate] for name, rate in roofline.roofs],
        "bytes": roofline.bytes_per_second,
        "notes": list(map(printable, roofline.notes)),
    }
