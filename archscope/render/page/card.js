// The card of the selected layer: what it is, what it costs, and its arithmetic.

/** Networks whose amounts fit beside each other. */
const BESIDE = 2;

const amountTitle = (amount) =>
  (passesOf(amount.key).length > 1 ? `${amount.title} ${amount.phase}` : amount.title);

class CardView {
  constructor() {
    this.root = element("aside", { class: "card", "aria-label": "Selected layer", "aria-live": "polite" });
    views.push(() => this.draw());
  }

  draw() {
    const node = state.selected ?? networks[0].root;
    const items = networks.map((_, number) =>
      (number === node.number ? node : twin(node, number))).filter(Boolean);
    fill(this.root,
      element("h2", {}, node.parent ? node.name : several ? "The networks" : node.name),
      this.facts(items),
      items.length > BESIDE ? this.costsBelow(items) : this.costs(items),
      ...items.map((item) => this.steps(item, items)));
  }

  /** What is so in every network once, and what differs with the network's name. */
  facts(items) {
    const found = new Map();
    for (const node of items) {
      const rows = [["Kind", node.kind], ["Input", node.input], ["Output", node.output],
        ["Stage", node.parent && stageTitle(node.stage)],
        ...pairsOf(node.facts).map(([key, value]) => [key.replace(/_/g, " "), value])];
      for (const [key, value] of rows.filter((row) => row[1])) {
        const values = found.get(key) ?? new Map();
        values.set(value, [...(values.get(value) ?? []), networks[node.number]]);
        found.set(key, values);
      }
    }
    return element("dl", {}, ...[...found].flatMap(([key, values]) =>
      [element("dt", {}, key), ...this.values(values, items.length)]));
  }

  values(values, count) {
    return [...values].map(([value, those]) => (those.length === count
      ? element("dd", {}, value)
      : element("dd", {}, value, " ", element("span", { class: "hint" }, ...breakable(labelsOf(those))))));
  }

  costs(items) {
    const head = items.length > 1
      ? element("tr", {}, element("td"), ...items.map((item) =>
        element("th", { scope: "col" }, ...breakable(networks[item.number].label))))
      : element("tr", {}, element("td"), element("th", { scope: "col" }, "Amount"),
        element("th", { scope: "col" }, "Share"));
    const rows = data.amounts.map((amount) => {
      const values = items.map((item) => cost(item, amount.key, amount.phase));
      const texts = values.map((value) => written(value, amount.unit));
      if (items.length === 1) {
        const whole = networks[items[0].number].roots
          .reduce((sum, root) => sum + (cost(root, amount.key, amount.phase) ?? 0), 0);
        texts.push(values[0] === null || !whole ? UNKNOWN : percent(values[0] / whole));
      }
      return element("tr", {}, element("th", { scope: "row" }, amountTitle(amount)),
        ...texts.map((text) => element("td", { class: "number" }, text)));
    });
    return element("table", { class: "costs" }, element("thead", {}, head), element("tbody", {}, ...rows));
  }

  /** The same with a row for each network, where they would not fit beside each other. */
  costsBelow(items) {
    const bodies = data.amounts.map((amount) => element("tbody", {},
      element("tr", {}, element("th", { scope: "rowgroup", colspan: 2, class: "what" }, amountTitle(amount))),
      ...items.map((item) => element("tr", {},
        element("th", { scope: "row" }, ...breakable(networks[item.number].label)),
        element("td", { class: "number" }, written(cost(item, amount.key, amount.phase), amount.unit))))));
    return element("table", { class: "costs below" }, ...bodies);
  }

  steps(node, items) {
    const steps = pairsOf(node.steps);
    if (!steps.length) return null;
    const named = items.length > 1 ? ` in ${networks[node.number].label}` : "";
    return element("div", { class: "steps" }, element("h3", {}, `How it is computed${named}`),
      element("dl", {}, ...steps.flatMap(([label, text]) =>
        [element("dt", {}, label), element("dd", {}, ...indexed(text))])));
  }
}

/** `C_out` with its index set below. */
function indexed(text) {
  return text.split(/(?<![A-Za-z])([A-Za-z]+_[A-Za-z]+)(?![A-Za-z])/).map((piece, place) => {
    if (place % 2 === 0) return piece;
    const [name, index] = piece.split("_");
    return element("var", {}, name, element("sub", {}, index));
  });
}
