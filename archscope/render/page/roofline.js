// Layers under what the device can do at most: rate against operations per byte.

class RooflineView {
  constructor() {
    const known = networks.filter((network) => network.roofline);
    this.panels = known.map((network) => new RooflinePanel(network));
    const families = new Set(this.panels.flatMap((panel) => panel.dots.map((dot) => dot.node.family)));
    this.root = element("section", { class: "roofline-view", "aria-label": "Roofline" },
      element("h2", {}, "Roofline: measured rates under the device's roofs"),
      ...this.panels.map((panel) => panel.root),
      element("div", { class: "legend" }, ...FAMILIES.filter((family) => families.has(family))
        .map((family) => legendEntry(familyClass(family), family)),
      legendEntry("filled", "forward"), legendEntry("hollow", "backward; area: time")),
      ...[...new Set(known.flatMap((network) => network.roofline.notes))]
        .map((note) => element("p", { class: "hint" }, note)));
    views.push(() => { for (const panel of this.panels) panel.mark(); });
  }
}

class RooflinePanel {
  constructor(network) {
    this.network = network;
    const { roofline } = network;
    this.roofs = roofline.roofs;
    this.dots = roofline.dots.map(([name, phase, intensity, rate, time, bound]) => ({
      node: partOf(network, textOf(name)), phase, intensity, rate, time, bound }))
      .filter((dot) => dot.node)
      .sort((a, b) => b.time - a.time);
    this.plot = new Plot(`${roofline.title}: ${this.dots.length} passes of layers`, 320, () => this.draw());
    this.root = element("div", { class: "panel" },
      element("p", { class: "panel-title" }, roofline.title), this.plot.root);
  }

  draw() {
    const { plot } = this;
    const { x0, x1, y0, y1 } = plot.inner;
    const { bytes: wide } = this.network.roofline;
    const fastest = Math.max(...this.roofs.map(([, rate]) => rate));
    const lows = (read) => Math.min(...this.dots.map(read));
    const left = lows((dot) => dot.intensity) / 2;
    const right = Math.max(4 * (fastest / wide), ...this.dots.map((dot) => 2 * dot.intensity));
    const top = 2 * Math.max(fastest, ...this.dots.map((dot) => dot.rate));
    const bottom = lows((dot) => dot.rate) / 2;
    const [x, y] = [logarithmic(left, right, x0, x1), logarithmic(bottom, top, y0, y1)];
    plot.yTicks(powersOfTen(bottom, top, 6), y, (value) => `${si(value)}op/s`);
    plot.xTicks(powersOfTen(left, right, 8), x, (value) => String(value));
    plot.text((x0 + x1) / 2, y0 + 31, "operations per byte", "tick", "middle");
    for (const [name, rate] of this.roofs) {
      const start = Math.max(left, bottom / wide);
      plot.add("polyline", { class: "roof",
        points: [[start, start * wide], [rate / wide, rate], [right, rate]].map(([a, b]) => `${x(a)},${y(b)}`).join(" ") });
    }
    const longest = this.dots[0].time;
    for (const dot of this.dots) this.dot(dot, x(dot.intensity), y(dot.rate), 2.5 + 11 * Math.sqrt(dot.time / longest));
    // Names of roofs come last, so that no dot covers one, and left of the ridge, where none can be.
    for (const [name, rate] of this.roofs) {
      const ridge = x(rate / wide);
      const end = ridge - x0 > 130 ? ridge - 14 : x1 - 4;
      plot.text(end, y(rate) - (end < ridge ? 3 : 6), `${si(rate)}op/s in ${name}`, "tick roof-name", "end");
    }
    const half = Math.sqrt(Math.max(left, bottom / wide) * (fastest / wide));
    plot.text(x(half) - 6, y(half * wide) - 8, `${si(wide)}B/s`, "tick roof-name", "end");
    this.mark();
  }

  dot(dot, cx, cy, r) {
    const { node, phase } = dot;
    const lines = [`${node.name}, ${phase}`, node.kind, seconds(dot.time), `${si(dot.rate)}op/s`,
      `${plain(dot.intensity, 3)} operations per byte`, dot.bound];
    dot.mark = this.plot.add("circle", { cx, cy, r, class: `dot ${phase} ${familyClass(node.family)}` },
      element("title", {}, lines.join(", ")));
    dot.mark.addEventListener("pointermove", (event) => tip.show(event, lines));
    dot.mark.addEventListener("pointerleave", () => tip.hide());
    dot.mark.addEventListener("click", () => change({ selected: node }));
  }

  mark() {
    for (const dot of this.dots) dot.mark?.classList.toggle("selected", isSelected(dot.node));
  }
}
