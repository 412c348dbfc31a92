// The graph: modules and the tensors between them, as archscope graph draws them.

class GraphView {
  constructor() {
    this.nodes = [];
    const known = drawnOnce(networks.filter((network) => network.graph), (network) => network.graph);
    this.root = element("section", { class: "graph-view", "aria-label": "Graph of the modules" },
      element("h2", {}, "Modules and the tensors between them"),
      ...known.map((alike) => this.panel(alike)),
      element("p", { class: "hint" }, "Fill: share of the network's MACs, repeats together. Dashed box: equal blocks. Blue: beside another path to the same end."));
    views.push(() => this.mark());
  }

  panel(alike) {
    const [network] = alike;
    const [width, height] = network.graph.size;
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, class: "graph", role: "group",
      "aria-label": `Graph of ${network.label}`, style: `max-width:${width}px;min-width:${Math.min(width, 0.62 * width)}px` });
    for (const [box, title, times] of network.graph.boxes) svg.append(...graphBox(box, title, times));
    for (const [points, skips, cornered] of network.graph.lines) {
      svg.append(element("path", { class: skips ? "edge skip" : "edge", d: cornered ? corners(points) : swings(points) }),
        arrow(points, skips));
    }
    for (const raw of network.graph.nodes) svg.append(this.node(network, raw));
    return element("div", { class: "panel" },
      element("p", { class: "panel-title" }, element("strong", {}, labelsOf(alike))),
      element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Drawing of ${network.label}` }, svg));
  }

  node(network, [[x, y, width, height], name, title, detail, shape, macs, share, family]) {
    const part = family === "input" ? null : partOf(network, textOf(name));
    const cost = macs ? si(macs) : "";
    const group = element("g", { class: family === "input" ? "node input" : "node", tabindex: part ? "0" : null,
      role: part ? "button" : "img", "aria-label": [title, detail, shape, cost && `${cost} MACs`].filter(Boolean).join(", ") },
      element("title", {}, [title, detail, shape, cost && `${cost} MACs, ${percent(share)}`].filter(Boolean).join("\n")),
      element("rect", { x, y, width, height, rx: 4, style: `--share:${Math.round(Math.min(95, 140 * Math.sqrt(share)))}%` }),
      element("text", { x: x + 7, y: y + 16, class: "what" }, clipped(title, width - 20 - 7 * cost.length, 6.4)),
      element("text", { x: x + width - 7, y: y + 16, "text-anchor": "end" }, cost),
      element("text", { x: x + 7, y: y + 30, class: "small" }, clipped(detail, width - 24 - 5.4 * shape.length, 5.4)),
      element("text", { x: x + width - 7, y: y + 30, class: "small", "text-anchor": "end" }, shape));
    if (part) {
      const choose = () => change({ selected: part });
      group.addEventListener("click", choose);
      group.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose();
        }
      });
      this.nodes.push({ group, part });
    }
    return group;
  }

  mark() {
    for (const { group, part } of this.nodes) {
      group.classList.toggle("selected", isSelected(part));
      group.classList.toggle("dim", state.query !== "" && !contains(part));
    }
  }
}

function clipped(text, room, letter) {
  const most = Math.max(3, Math.floor(room / letter));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function graphBox([x, y, width, height], title, times) {
  const count = times > 1 ? `×${times}` : "";
  const aside = count ? 14 + 9 * count.length : 7;
  return [
    element("rect", { x, y, width, height, rx: 5, class: count ? "box repeat" : "box" }),
    count ? element("text", { x: x + 7, y: y + 15, class: "times" }, count) : null,
    element("text", { x: x + aside, y: y + 15, class: "small" }, clipped(title, width - aside - 6, 5.4)),
  ].filter(Boolean);
}

const pairs = (flat) => flat.flatMap((value, at) => (at % 2 ? [[flat[at - 1], value]] : []));

/** Straight ways between points, corners rounded. */
function corners(flat) {
  const points = pairs(flat);
  const towards = ([x0, y0], [x1, y1]) => {
    const distance = Math.hypot(x1 - x0, y1 - y0) || 1;
    const share = Math.min(7, distance / 2) / distance;
    return `${x0 + (x1 - x0) * share},${y0 + (y1 - y0) * share}`;
  };
  const inner = points.slice(1, -1).map((corner, at) =>
    `L${towards(corner, points[at])} Q${corner} ${towards(corner, points[at + 2])}`);
  return `M${points[0]} ${inner.join(" ")} L${points.at(-1)}`;
}

/** A way that leaves and reaches every point vertically. */
function swings(flat) {
  const points = pairs(flat);
  return `M${points[0]} ${points.slice(1).map(([x, y], at) => {
    const [x0, y0] = points[at];
    return `C${x0},${(y0 + y) / 2} ${x},${(y0 + y) / 2} ${x},${y}`;
  }).join(" ")}`;
}

function arrow(flat, skips) {
  const [[x0, y0], [x, y]] = pairs(flat).slice(-2);
  const across = Math.abs(y0 - y) < 1 ? Math.sign(x - x0) : 0;
  const d = across ? `M${x},${y} l${-5 * across},-2.6 v5.2z` : `M${x},${y} l-2.6,-5 h5.2z`;
  return element("path", { class: skips ? "head skip" : "head", d });
}
