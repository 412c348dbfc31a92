// The same tree as a table: folded, sorted and searched.

const MOST_SORTED = 300;
const OPEN_ROWS = 24;

/** Rows of one or several networks: parts of the same name share a row. */
function mergedRows(lists, depth = 0, parent = null) {
  return aligned(lists, (node) => node.label).map(({ items }) => {
    const row = { items, depth, parent, open: false, some: items.find(Boolean) };
    row.children = mergedRows(items.map((item) => item?.children ?? []), depth + 1, row);
    return row;
  });
}

/** Networks without names in common meet stage by stage. */
function stageRows() {
  const whole = { items: networks.map((network) => network.root), depth: 0, parent: null, open: false };
  whole.some = { ...whole.items[0], name: "all", label: "all", kind: "" };
  const slots = aligned(networks.map(stageRuns), (run) => run.stage);
  whole.children = slots.map(({ items }) => {
    const nodes = items.map((run, number) => run && stageNode(run, number));
    const row = { items: nodes, depth: 1, parent: whole, open: false, some: nodes.find(Boolean) };
    row.children = mergedRows(nodes.map((node) => node?.children ?? []), 2, row);
    return row;
  });
  return [whole];
}

class TableView {
  constructor() {
    this.byName = !several || comparable();
    this.rows = this.byName ? mergedRows(networks.map((network) => network.roots)) : stageRows();
    this.flat = this.rows.flatMap(function all(row) { return [row, ...row.children.flatMap(all)]; });
    this.openUntilFull();
    this.head = element("thead");
    this.body = element("tbody");
    this.status = element("p", { class: "hint", role: "status" });
    const table = element("table", { class: "layers" },
      element("caption", { class: "hidden" }, "Layers"), this.head, this.body);
    this.root = element("section", { class: "table-view", "aria-label": "Table of the layers" },
      element("h2", {}, "Layers"), this.foldButtons(), element("div", { class: "scroll" }, table), this.status);
    this.body.addEventListener("keydown", (event) => this.key(event));
    views.push(() => this.draw());
  }

  /** Open whole levels while the rows stay few. */
  openUntilFull() {
    let level = this.rows;
    let shown = level.length;
    while (level.length) {
      const below = level.flatMap((row) => row.children);
      if (shown + below.length > OPEN_ROWS && shown > 1) return;
      for (const row of level) row.open = true;
      shown += below.length;
      level = below;
    }
  }

  foldButtons() {
    const all = (open) => () => {
      for (const row of this.flat) row.open = open || !row.parent;
      this.draw();
    };
    const button = (label, action) => {
      const made = element("button", { type: "button", class: "quiet" }, label);
      made.addEventListener("click", action);
      return made;
    };
    return element("p", { class: "folds" }, button("Open all", all(true)), button("Fold", all(false)));
  }

  columns() {
    const unit = quantity().unit;
    const chosen = networks.map((network, number) => ({
      key: `cost${number}`, title: several ? network.label : quantityTitle(), unit,
      read: (row) => (row.items[number] ? cost(row.items[number]) : null) }));
    const share = { key: "share", title: several ? "Difference" : "Share", unit: several ? unit : "percent",
      read: several ? rowDifference : (row) => (cost(row.items[0]) ?? 0) / (networkCost(networks[0]) || 1) };
    if (several) {
      const quotient = { key: "ratio", title: "Ratio", unit: "ratio", extra: true,
        read: (row) => (row.items.every(Boolean) && cost(row.items[0]) ? cost(row.items.at(-1)) / cost(row.items[0]) : null) };
      return [...chosen, share, quotient];
    }
    const others = quantities.filter((each) => each.key !== state.key).map((each) => ({
      key: each.key, title: each.title, unit: each.unit, extra: true,
      read: (row) => cost(row.items[0], each.key) }));
    return [...chosen, share, ...others];
  }

  draw() {
    const columns = this.columns();
    if (state.sort && !columns.some((column) => column.key === state.sort.key)) state.sort = null;
    this.drawHead(columns);
    const { rows, left } = this.visible(columns);
    const { read } = columns.find((column) => column.key === "share");
    const most = several ? Math.max(...this.flat.map((row) => Math.abs(read(row) ?? 0))) || 1 : 1;
    this.body.replaceChildren(...rows.map((row) => this.row(row, columns, most)));
    this.status.textContent = left ? `${left} more rows: search to narrow them down.`
      : rows.length ? "" : "No layer matches.";
  }

  drawHead(columns) {
    const heading = (column, first) => {
      const sorted = state.sort?.key === column.key ? state.sort.order : "none";
      const button = element("button", { type: "button" }, ...breakable(column.title));
      button.addEventListener("click", () => change({ sort: nextSort(column.key, first) }));
      return element("th", { scope: "col", class: `${first ? "" : "number"}${column.extra ? " extra" : ""}`,
        "aria-sort": sorted }, button);
    };
    this.head.replaceChildren(element("tr", {}, heading({ key: "name", title: "Layer" }, true),
      element("th", { scope: "col", class: kindClasses }, "Kind"),
      element("th", { scope: "col", class: "extra wide" }, "Output"),
      ...columns.map((column) => heading(column, false))));
  }

  visible(columns) {
    if (state.sort) {
      const column = columns.find((each) => each.key === state.sort.key);
      const value = column ? column.read : (row) => row.some.name;
      const leaves = this.flat.filter((row) => !row.children.length && found(row));
      const sign = state.sort.order === "descending" ? -1 : 1;
      leaves.sort((a, b) => sign * compared(value(a), value(b)));
      return { rows: leaves.slice(0, MOST_SORTED), left: Math.max(0, leaves.length - MOST_SORTED) };
    }
    const shown = this.flat.filter(state.query ? foundBelow : (row) => !row.parent || opened(row.parent));
    return { rows: shown.slice(0, 4 * MOST_SORTED), left: Math.max(0, shown.length - 4 * MOST_SORTED) };
  }

  row(row, columns, most) {
    const node = row.some;
    const name = element("button", { type: "button", class: "name" }, state.sort ? node.name : node.label);
    name.addEventListener("click", () => change({ selected: row.items.find(Boolean) }));
    name.disabled = Boolean(node.run);
    const indent = state.sort ? 0 : Math.min(row.depth, 12);
    const head = element("th", { scope: "row", style: `--depth:${indent}` }, this.fold(row),
      element("i", { class: `swatch ${row.children.length ? "none" : familyClass(node.family)}` }), name);
    const cells = columns.map((column) => {
      const value = column.read(row);
      const text = several && column.key === "share" ? signed(value, column.unit) : written(value, column.unit);
      const bar = column.key === "share" ? shareBar(value, most, row.children.length) : null;
      return element("td", { class: `number${column.extra ? " extra" : ""}` }, text, bar);
    });
    return element("tr", { class: `${isSelected(node) ? "selected" : ""}${row.children.length ? " group" : ""}` },
      head, element("td", { class: kindClasses }, kinds(row)),
      element("td", { class: "extra wide shape" }, outputs(row)), ...cells);
  }

  fold(row) {
    if (!row.children.length || state.sort || state.query) return element("span", { class: "fold" });
    const button = element("button", { type: "button", class: "fold", "aria-expanded": row.open,
      "aria-label": `${row.open ? "Fold" : "Open"} ${row.some.name}` }, row.open ? "▾" : "▸");
    button.addEventListener("click", () => {
      row.open = !row.open;
      this.draw();
      this.body.querySelector(`[aria-label$="${CSS.escape(row.some.name)}"]`)?.focus();
    });
    return button;
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const names = [...this.body.querySelectorAll("button.name")];
    const here = event.target.closest("tr")?.querySelector("button.name");
    const next = names[names.indexOf(here) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
}

/** With more than two networks their amounts need the room of the kind. */
const kindClasses = networks.length > 2 ? "extra wide" : "extra";

const opened = (row) => row.open && (!row.parent || opened(row.parent));
const found = (row) => row.items.some((node) => node && matches(node));
const foundBelow = (row) => found(row) || row.children.some(foundBelow);
const distinct = (row, read) => [...new Set(row.items.filter(Boolean).map(read))].filter(Boolean).join(" → ");
const kinds = (row) => distinct(row, (node) => node.kind);
const outputs = (row) => distinct(row, (node) => node.output);

function rowDifference(row) {
  const [first, last] = [row.items[0], row.items.at(-1)].map((node) => (node ? cost(node) : 0));
  return first === null || last === null ? null : last - first;
}

function compared(a, b) {
  if (typeof a === "string") return a.localeCompare(b, "en", { numeric: true });
  return (a ?? -Infinity) - (b ?? -Infinity) || 0;
}

function nextSort(key, rising) {
  const orders = rising ? ["ascending", "descending"] : ["descending", "ascending"];
  if (state.sort?.key !== key) return { key, order: orders[0] };
  return state.sort.order === orders[0] ? { key, order: orders[1] } : null;
}

/** A bar of a share, or of a difference to the scale of the largest, left or right of the middle. */
function shareBar(value, most, group) {
  const share = Math.min(1, Math.abs(value ?? 0) / most);
  const side = several ? (value < 0 ? "less" : "more") : "plain";
  return element("span", { class: `bar ${side}${group ? " faint" : ""}`, "aria-hidden": "true" },
    element("i", { style: `width:${(several ? 50 : 100) * share}%` }));
}
