// The module tree as an icicle: widths to scale, in order of execution, depth downwards.

const MOST_ROWS = 7;
const LEAST_SHARE = 0.0006; // of the width: narrower parts would not show
const THIN = 0.006; // a narrower part is all border
const SLOT_GAP = 0.006;
const SAME = 0.005; // a relative difference below this one has no colour

/** Where every part of every network stands: x and width as shares of the width, and its row. */
function mapLayout() {
  const placed = networks.map(() => []);
  const slots = state.zoomed ? [zoomSlot()] : several ? stageSlots() : [rootSlot()];
  const whole = slots.reduce((sum, slot) => sum + slot.width, 0) || 1;
  const gaps = SLOT_GAP * (slots.length - 1);
  let start = 0;
  for (const slot of slots) {
    slot.x = start;
    slot.w = (slot.width / whole) * (1 - gaps);
    slot.runs.forEach((nodes, number) => {
      let x = start;
      for (const node of nodes) x += place(placed[number], node, x, (1 - gaps) / whole, 0);
    });
    start += slot.w + SLOT_GAP;
  }
  return { placed, slots };
}

function place(blocks, node, x, scale, row) {
  const w = size(node) * scale;
  if (w >= LEAST_SHARE && row < MOST_ROWS) {
    blocks.push({ node, x, w, row });
    let inner = x;
    for (const child of node.children) inner += place(blocks, child, inner, scale, row + 1);
  }
  return w;
}

const sizes = (nodes) => nodes.reduce((sum, node) => sum + size(node), 0);
const slotOf = (key, runs) => ({ key, runs, width: Math.max(...runs.map(sizes)) });
const rootSlot = () => slotOf("", networks.map((network) => network.roots));

function zoomSlot() {
  const runs = networks.map((_, number) => {
    const node = number === state.zoomed.number ? state.zoomed : twin(state.zoomed, number);
    return node ? [node] : [];
  });
  return slotOf("", runs);
}

function stageSlots() {
  return aligned(networks.map(stageRuns), (run) => run.stage)
    .map((slot) => slotOf(slot.key, slot.items.map((run) => run?.nodes ?? [])))
    .filter((slot) => slot.width > 0);
}

/** How a part compares with its twin in the first network. */
function difference(node) {
  const other = node.number ? twin(node, 0) : null;
  if (!node.number) return { kind: "reference" };
  if (!other) return { kind: "only" };
  const [own, first] = [size(node), size(other)];
  if (!first) return { kind: own ? "more" : "same", strength: 1 };
  const change = own / first;
  if (Math.abs(change - 1) < SAME) return { kind: "same", change };
  return { kind: change > 1 ? "more" : "less", change, strength: Math.min(1, Math.abs(Math.log2(change))) };
}

class MapView {
  constructor() {
    this.differences = comparable();
    this.panels = networks.map((network) => new MapPanel(network, this));
    this.trail = element("nav", { class: "trail", "aria-label": "Zoom" });
    this.stages = element("div", { class: "stages", "aria-hidden": "true" });
    this.legend = element("div", { class: "legend" });
    this.heading = element("h2", {}, "");
    this.root = element("section", { class: "map-view", "aria-label": "Map of the modules" },
      this.heading, this.trail, this.stages, ...this.panels.map((panel) => panel.root), this.legend);
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && state.zoomed) zoomOut();
    });
    views.push(() => this.draw());
  }

  draw() {
    const { placed, slots } = mapLayout();
    this.heading.textContent = `${quantityTitle()}, module by module`;
    this.panels.forEach((panel, number) => panel.draw(placed[number]));
    this.stages.replaceChildren(...(slots.length > 1 ? slots : []).map((slot) => element("span",
      { style: `left:${100 * slot.x}%;width:${100 * slot.w}%` }, element("b", {}, stageTitle(slot.key)))));
    this.stages.hidden = slots.length < 2;
    this.drawTrail();
    this.drawLegend(placed.flat());
  }

  drawTrail() {
    const steps = [];
    for (let node = state.zoomed; node; node = node.parent) steps.unshift(node);
    this.trail.replaceChildren(...steps.map((node, index) => {
      const label = index ? node.label : networks.map((n) => n.label).join(" · ");
      if (node === state.zoomed) return element("span", { "aria-current": "true" }, label);
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => change({ zoomed: node.parent ? node : null }));
      return button;
    }));
    this.trail.hidden = !state.zoomed;
  }

  drawLegend(blocks) {
    if (this.differences) {
      const first = networks[0].label;
      const entries = [["less", `less than in ${first}`], ["same", "equal"],
        ["more", `more than in ${first}`], ["only", "no part of this name there"]];
      this.legend.replaceChildren(...entries.map(([kind, label]) => legendEntry(`diff-${kind}`, label)));
      return;
    }
    const families = new Set(blocks.map((block) => block.node.family));
    this.legend.replaceChildren(...FAMILIES.filter((family) => families.has(family))
      .map((family) => legendEntry(familyClass(family), family)));
  }
}

const FAMILIES = ["convolution", "grouped convolution", "depthwise convolution", "linear",
  "attention", "recurrent", "normalisation", "activation", "pooling", "embedding", "other work"];
const familyClass = (family) => `f-${family.replace(/ .*/, "")}`;

function legendEntry(className, label) {
  return element("span", { class: "entry" },
    element("i", { class: `swatch ${className}` }), label);
}

function zoomOut() {
  const parent = state.zoomed.parent;
  change({ zoomed: parent?.parent ? parent : null });
}

class MapPanel {
  constructor(network, view) {
    this.network = network;
    this.view = view;
    this.blocks = new Map();
    this.caption = element("p", { class: "panel-title" });
    this.field = element("div", { class: "field", role: "tree",
      "aria-label": `Modules of ${network.label}` });
    this.root = element("div", { class: "panel" }, this.caption, this.field);
    this.field.addEventListener("keydown", (event) => this.key(event));
  }

  draw(placed) {
    const rows = 1 + Math.max(0, ...placed.map((block) => block.row));
    this.field.style.height = `calc(${rows} * var(--row))`;
    this.drawCaption();
    const seen = new Set(placed.map((block) => block.node.id));
    for (const [id, block] of this.blocks) {
      if (!seen.has(id)) {
        block.remove();
        this.blocks.delete(id);
      }
    }
    this.placed = placed;
    for (const block of placed) this.drawBlock(block);
    if (!placed.some((block) => this.blocks.get(block.node.id).tabIndex === 0) && placed.length) {
      this.blocks.get(placed[0].node.id).tabIndex = 0;
    }
    this.field.classList.toggle("empty", !placed.length);
  }

  drawCaption() {
    const total = networkCost(this.network);
    const first = networkCost(networks[0]);
    const beside = this.network.number && first ? ` · ${ratio(total / first)}` : "";
    fill(this.caption, element("strong", {}, this.network.label),
      ` on ${this.network.input} · ${written(total, quantity().unit)}${beside}`);
  }

  drawBlock({ node, x, w, row }) {
    let block = this.blocks.get(node.id);
    if (!block) {
      block = element("div", { role: "treeitem", tabindex: "-1" }, element("span", {}, node.label));
      block.addEventListener("click", () => this.choose(node));
      block.addEventListener("pointermove", (event) => tip.show(event, describe(node)));
      block.addEventListener("pointerleave", () => tip.hide());
      block.addEventListener("focus", () => this.focused(node));
      this.blocks.set(node.id, block);
      this.field.append(block);
    }
    block.className = `block ${this.colour(block, node)}`;
    block.classList.toggle("thin", w < THIN);
    block.classList.toggle("selected", isSelected(node));
    block.classList.toggle("dim", state.query !== "" && !contains(node));
    block.style.left = `${100 * x}%`;
    block.style.width = `${100 * w}%`;
    block.style.top = `calc(${row} * var(--row))`;
    block.setAttribute("aria-level", row + 1);
    block.setAttribute("aria-label", describe(node).join(", "));
    block.setAttribute("aria-selected", isSelected(node));
  }

  colour(block, node) {
    if (!this.view.differences) return node.children.length ? "f-container" : familyClass(node.family);
    const { kind, strength = 0 } = difference(node);
    block.style.setProperty("--strength", `${Math.round(20 + 60 * strength)}%`);
    return `diff-${kind}`;
  }

  choose(node) {
    const again = isSelected(node) && node.children.length;
    if (again && state.zoomed === node) zoomOut();
    else if (node.children.length && node.parent) change({ selected: node, zoomed: node });
    else if (!node.parent) change({ selected: node, zoomed: null });
    else change({ selected: node });
  }

  focused(node) {
    for (const block of this.blocks.values()) block.tabIndex = -1;
    this.blocks.get(node.id).tabIndex = 0;
  }

  key(event) {
    const here = this.placed.find((block) => this.blocks.get(block.node.id) === event.target);
    if (!here) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(here.node);
      return;
    }
    const target = this.neighbour(here, event.key);
    if (target) {
      event.preventDefault();
      this.blocks.get(target.node.id).focus();
    }
  }

  neighbour(here, key) {
    const row = this.placed.filter((block) => block.row === here.row).sort((a, b) => a.x - b.x);
    const place = row.indexOf(here);
    if (key === "ArrowLeft") return row[place - 1];
    if (key === "ArrowRight") return row[place + 1];
    if (key === "ArrowUp") return this.placed.find((block) => block.node === here.node.parent);
    if (key === "ArrowDown") return this.placed.find((block) => block.node.parent === here.node);
    return null;
  }
}

const isSelected = (node) => state.selected !== null
  && (node === state.selected || node === twin(state.selected, node.number));
const contains = (node) => matches(node) || node.children.some(contains);

/** What a part is and costs, in a few words each. */
function describe(node) {
  const value = cost(node);
  const whole = networkCost(networks[node.number]);
  const share = value !== null && whole ? [percent(value / whole)] : [];
  const { change } = several ? difference(node) : {};
  const beside = change === undefined ? [] : [`${ratio(change)} of ${networks[0].label}`];
  return [node.name, node.kind, node.output, written(value, quantity().unit), ...share, ...beside]
    .filter(Boolean);
}

// One tip for every view

const tip = {
  box: null,
  show(event, lines) {
    this.box ??= document.body.appendChild(element("div", { class: "tip", "aria-hidden": "true" }));
    this.box.replaceChildren(...lines.map((line, index) => element(index ? "div" : "strong", {}, line)));
    this.box.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const left = Math.min(event.clientX + 14, innerWidth - width - 8);
    const above = event.clientY + 18 + height > innerHeight;
    this.box.style.left = `${Math.max(4, left)}px`;
    this.box.style.top = `${above ? event.clientY - height - 10 : event.clientY + 18}px`;
  },
  hide() {
    if (this.box) this.box.hidden = true;
  },
};
