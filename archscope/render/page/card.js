// The card of the selected layer: what it is, what it costs, and its arithmetic.

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
      ...items.map((item) => this.facts(item, items.length > 1)),
      this.costs(items),
      ...items.map((item) => this.steps(item, items)));
  }

  facts(node, named) {
    const rows = [["Kind", node.kind], ["Input", node.input], ["Output", node.output],
      ["Stage", stageTitle(node.stage)],
      ...pairsOf(node.facts).map(([key, value]) => [key.replace(/_/g, " "), value])];
    const list = element("dl", {}, ...rows.filter(([, value]) => value)
      .flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]));
    return element("div", {}, named ? element("h3", {}, networks[node.number].label) : null, list);
  }

  costs(items) {
    const head = items.length > 1
      ? element("tr", {}, element("td"), ...items.map((item) =>
        element("th", { scope: "col" }, networks[item.number].label)))
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
      const title = passesOf(amount.key).length > 1 ? `${amount.title} ${amount.phase}` : amount.title;
      return element("tr", {}, element("th", { scope: "row" }, title),
        ...texts.map((text) => element("td", { class: "number" }, text)));
    });
    return element("table", { class: "costs" }, element("thead", {}, head), element("tbody", {}, ...rows));
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
