// Live memory over one training step, by kind.

const KINDS = ["Parameters", "Buffers", "Optimiser state", "Input", "Gradients", "Saved activations", "Temporary"];
const kindClass = (title) => `k-${KINDS.indexOf(title)}`;

class MemoryView {
  constructor() {
    const known = drawnOnce(networks.filter((network) => network.memory), (network) => network.memory);
    this.panels = known.map((alike) => new MemoryPanel(alike));
    const highest = Math.max(...this.panels.map((panel) => panel.peak));
    for (const panel of this.panels) panel.highest = highest;
    const titles = new Set(this.panels.flatMap((panel) => panel.areas.map((area) => area.title)));
    this.root = element("section", { class: "memory-view", "aria-label": "Live memory over a training step" },
      element("h2", {}, "Live memory over one training step"),
      ...this.panels.map((panel) => panel.root),
      element("div", { class: "legend" }, ...KINDS.filter((title) => titles.has(title))
        .map((title) => legendEntry(kindClass(title), title))));
    views.push(() => { for (const panel of this.panels) panel.mark(); });
  }
}

class MemoryPanel {
  constructor(alike) {
    const [network] = alike;
    this.network = network;
    this.label = labelsOf(alike);
    const { memory } = network;
    this.areas = memory.areas.map(([title, ...changes]) => {
      let value = 0;
      return { title, values: memory.layers.map((_, at) => (value += changes[at] ?? 0)) };
    });
    this.layers = memory.layers.map(textOf);
    this.totals = this.layers.map((_, at) => this.areas.reduce((sum, area) => sum + area.values[at], 0));
    this.peak = Math.max(...this.totals);
    this.at = this.totals.indexOf(this.peak);
    const label = `${memory.title}. Peak ${bytes(this.peak)} ${this.where(this.at)}. Arrow keys move along the step.`;
    this.plot = new Plot(label, 210, () => this.draw());
    this.status = element("p", { class: "hidden", "aria-live": "polite" });
    this.root = element("div", { class: "panel" },
      element("p", { class: "panel-title" }, element("strong", {}, this.label),
        ` · tensors take ${bytes(this.peak)} at most, ${this.where(this.at)}. ${memory.note}`),
      this.plot.root, this.status);
    this.plot.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.plot.svg.addEventListener("pointerleave", () => { tip.hide(); this.cursor?.remove(); });
    this.plot.svg.addEventListener("click", (event) => this.choose(this.momentAt(event)));
    this.plot.svg.addEventListener("keydown", (event) => this.key(event));
  }

  phase(at) {
    return this.network.memory.phases.filter(([, start]) => start <= at).at(-1)[0];
  }

  where(at) {
    const phase = this.phase(at);
    return phase === "update" ? "in the update" : `in the ${phase} pass at ${this.layers[at] || "the network itself"}`;
  }

  draw() {
    const { plot } = this;
    const { x0, x1, y0, y1 } = plot.inner;
    const last = this.totals.length;
    this.x = straight(0, last, x0, x1);
    this.y = straight(0, this.highest * 1.06, y0, y1);
    plot.yTicks(roundTicks(this.highest, 1024), this.y, bytes);
    let below = this.totals.map(() => 0);
    for (const area of this.areas) {
      const above = below.map((value, at) => value + area.values[at]);
      const top = above.map((value, at) => `${this.x(at)},${this.y(value)} ${this.x(at + 1)},${this.y(value)}`);
      const bottom = below.map((value, at) => `${this.x(at + 1)},${this.y(value)} ${this.x(at)},${this.y(value)}`);
      plot.add("path", { class: `area ${kindClass(area.title)}`, d: `M${top.join(" ")} ${bottom.reverse().join(" ")}Z` });
      below = above;
    }
    this.network.memory.phases.forEach(([name, start], index, all) => {
      if (start) plot.line(this.x(start), y0, this.x(start), y1 - 12, "phase");
      const room = this.x(all[index + 1]?.[1] ?? last) - this.x(start);
      if (room > 7 * name.length) plot.text(this.x(start) + 4, y1 - 8, name, "phase-name");
    });
    plot.add("circle", { class: "peak", r: 4, cx: this.x(this.at + 0.5), cy: this.y(this.peak) });
    plot.text((x0 + x1) / 2, y0 + 18, "operators that allocate, in order", "tick", "middle");
    this.mark();
  }

  /** Show where the selected layer runs. */
  mark() {
    for (const old of this.plot.svg.querySelectorAll(".chosen")) old.remove();
    const { selected } = state;
    if (!selected?.parent || !this.x) return;
    const { y0 } = this.plot.inner;
    const inside = (name) => name === selected.name || name.startsWith(`${selected.name}.`);
    this.layers.forEach((name, at) => {
      if (inside(name)) {
        this.plot.add("rect", { class: "chosen", x: this.x(at), y: y0 + 1, height: 5,
          width: Math.max(1, this.x(at + 1) - this.x(at)) });
      }
    });
  }

  momentAt(event) {
    const { x0, x1 } = this.plot.inner;
    const share = (event.clientX - this.plot.svg.getBoundingClientRect().left - x0) / (x1 - x0);
    return Math.min(this.totals.length - 1, Math.max(0, Math.floor(share * this.totals.length)));
  }

  described(at) {
    const parts = this.areas.filter((area) => area.values[at]).reverse()
      .map((area) => `${area.title}: ${bytes(area.values[at])}`);
    return [`${bytes(this.totals[at])} ${this.where(at)}`, ...parts];
  }

  point(at) {
    const { y0, y1 } = this.plot.inner;
    this.cursor?.remove();
    this.cursor = this.plot.line(this.x(at + 0.5), y0, this.x(at + 0.5), y1, "cursor");
  }

  hover(event) {
    const at = this.momentAt(event);
    this.point(at);
    tip.show(event, this.described(at));
  }

  choose(at) {
    const node = partOf(this.network, this.layers[at]);
    if (node) change({ selected: node });
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" && this.here !== undefined) this.choose(this.here);
    if (!step) return;
    event.preventDefault();
    const next = (this.here ?? this.at) + step;
    this.here = Math.min(this.totals.length - 1, Math.max(0, next));
    this.point(this.here);
    this.status.textContent = this.described(this.here).join(", ");
  }
}
