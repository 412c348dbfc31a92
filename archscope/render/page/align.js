// Which parts of several networks stand above one another.

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

const stageTitle = (stage) => (/^\d/.test(stage) ? `stride ${stage}` : stage);
