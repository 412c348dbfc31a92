// The data as trees, and the state that all views share.

const data = JSON.parse(document.getElementById("data").textContent);
const textOf = (place) => data.texts[place];

function pairsOf(place) {
  const flat = textOf(place).map(textOf);
  return flat.flatMap((text, index) => (index % 2 ? [[flat[index - 1], text]] : []));
}

/** A drawing of a network, which may be that of an earlier one by its number. */
const drawnBefore = (raw, key) => (typeof raw[key] === "number" ? data.networks[raw[key]][key] : raw[key]);

const networks = data.networks.map((raw, number) => {
  const nodes = raw.parts.map((part, index) => ({
    number, index, id: `${number}-${index}`, parent: null, children: [],
    label: textOf(part[1]), name: textOf(part[2]), kind: textOf(part[3]), family: textOf(part[4]),
    stage: textOf(part[5]), input: textOf(part[6]), output: textOf(part[7]),
    facts: part[8], steps: part[9], totals: [...part[10]], depth: 0,
  }));
  nodes.forEach((node, index) => {
    const parent = raw.parts[index][0];
    if (parent < 0) return;
    node.parent = nodes[parent];
    node.depth = node.parent.depth + 1;
    node.parent.children.push(node);
  });
  for (const node of [...nodes].reverse()) {
    if (!node.parent) continue;
    node.totals.forEach((value, place) => {
      if (value !== null) node.parent.totals[place] = (node.parent.totals[place] ?? 0) + value;
    });
  }
  const roots = nodes.filter((node) => !node.parent);
  return { number, label: raw.label, input: raw.input, nodes, roots, root: roots[0],
    byName: new Map(nodes.map((node) => [node.name, node])),
    memory: drawnBefore(raw, "memory"), roofline: raw.roofline, graph: drawnBefore(raw, "graph") };
});
const several = networks.length > 1;

/** The part of the same name in another network, the network itself for the network itself. */
function twin(node, number) {
  if (!node.parent) return networks[number].root;
  return networks[number].byName.get(node.name) ?? null;
}

// What is shown now

const quantities = [...new Map(data.amounts.map((amount) => [amount.key, amount])).values()];
const passesOf = (key) => data.amounts.filter((a) => a.key === key).map((a) => a.phase);

const state = {
  key: quantities[0].key,
  pass: "forward",
  selected: null,
  zoomed: null,
  query: "",
  sort: null,
};
const views = [];

/** Change the state and draw every view again. */
function change(what) {
  Object.assign(state, what);
  for (const view of views) view();
}

const quantity = (key = state.key) => quantities.find((each) => each.key === key);

/** Places of the chosen quantity's values, of one pass or of both. */
function places(key = state.key, pass = state.pass) {
  const all = data.amounts.flatMap((a, place) => (a.key === key ? [place] : []));
  const chosen = all.filter((place) => data.amounts[place].phase === pass);
  return pass === "both" || !chosen.length ? all : chosen;
}

/** What a part costs, children included, `null` where it is not known. */
function cost(node, key, pass) {
  const values = places(key, pass).map((place) => node.totals[place]);
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

const size = (node) => Math.max(0, cost(node) ?? 0);
const networkCost = (network) =>
  network.roots.reduce((sum, root) => sum + (cost(root) ?? 0), 0);

/** Whether a part is what is searched for: by name, kind, family or shape, all words together. */
function matches(node) {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => matchesWord(node, word));
}

/** `conv2` is a name; that it begins `Conv2d` is chance, so kinds match without their digits. */
function matchesWord(node, word) {
  const kind = node.kind.toLowerCase();
  return `${node.name} ${node.family} ${node.output}`.toLowerCase().includes(word)
    || kind === word || kind.replace(/\d.*/, "").startsWith(word);
}

function quantityTitle() {
  const phases = passesOf(state.key);
  const pass = phases.length > 1 ? (state.pass === "both" ? ", forward and backward" : `, ${state.pass}`) : "";
  return quantity().title + pass;
}

/** Networks whose drawing is the same, as one network has on two devices, together. */
function drawnOnce(known, drawing) {
  const groups = new Map();
  for (const network of known) {
    const text = JSON.stringify(drawing(network));
    groups.set(text, [...(groups.get(text) ?? []), network]);
  }
  return [...groups.values()];
}

const labelsOf = (alike) => alike.map((network) => network.label).join(" · ");
