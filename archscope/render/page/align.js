// Which parts of several networks stand above one another.

/** Whether the networks share enough names for parts of one name to be compared. */
function comparable() {
  return several && networks.slice(1).every((network) => {
    const leaves = network.nodes.filter((node) => !node.children.length);
    return 2 * leaves.filter((node) => twin(node, 0)).length >= leaves.length;
  });
}

/** Merge sequences so that equal keys meet: the longest common subsequence, network by network. */
function aligned(sequences, keyOf) {
  let merged = sequences[0].map((item) => ({ key: keyOf(item), items: [item] }));
  sequences.slice(1).forEach((sequence, place) => {
    merged = mergedWith(merged, sequence, keyOf, place + 1);
  });
  for (const slot of merged) {
    for (let place = 0; place < sequences.length; place += 1) slot.items[place] ??= null;
  }
  return merged;
}

function mergedWith(slots, sequence, keyOf, place) {
  const keys = sequence.map(keyOf);
  const longest = commonLengths(slots.map((slot) => slot.key), keys);
  const merged = [];
  let [i, j] = [0, 0];
  while (i < slots.length || j < keys.length) {
    if (i < slots.length && j < keys.length && slots[i].key === keys[j]) {
      slots[i].items[place] = sequence[j];
      merged.push(slots[i]);
      [i, j] = [i + 1, j + 1];
    } else if (j >= keys.length || (i < slots.length && longest[i + 1][j] >= longest[i][j + 1])) {
      merged.push(slots[i]);
      i += 1;
    } else {
      const slot = { key: keys[j], items: [] };
      slot.items[place] = sequence[j];
      merged.push(slot);
      j += 1;
    }
  }
  return merged;
}

/** Length of the longest common subsequence of every pair of ends. */
function commonLengths(a, b) {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = a[i] === b[j]
        ? lengths[i + 1][j + 1] + 1
        : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  return lengths;
}

/** Runs of parts at one output stride: a container is opened where its children have several. */
function stageRuns(network) {
  const runs = [];
  const place = (node) => {
    const stages = new Set(node.children.map((child) => child.stage));
    if (node.children.length > 1 ? stages.size > 1 : node.children.length) {
      node.children.forEach(place);
    } else if (runs.length && runs.at(-1).stage === node.stage) {
      runs.at(-1).nodes.push(node);
    } else {
      runs.push({ stage: node.stage, nodes: [node] });
    }
  };
  network.roots.forEach(place);
  return runs;
}

/** A run of parts as one: it has their sums, and no part of the network is it. */
function stageNode({ stage, nodes }, number) {
  const totals = data.amounts.map((_, place) => {
    const known = nodes.map((node) => node.totals[place]).filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
  });
  return { ...nodes.at(-1), number, totals, children: nodes, kind: "", family: "container", facts: null,
    steps: null, name: stageTitle(stage), label: stageTitle(stage), run: true };
}

const stageTitle = (stage) => (/^\d/.test(stage) ? `stride ${stage}` : stage);
