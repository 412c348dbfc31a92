// What the drawn views share: a frame that follows the width of its place, axes and ticks.

const PLOT = { left: 64, right: 12, top: 22, bottom: 34 };

class Plot {
  /** `draw` fills the plot's group; it runs again whenever the width changes. */
  constructor(label, height, draw) {
    this.height = height;
    this.svg = element("svg", { role: "img", "aria-label": label, height, tabindex: "0", class: "plot" });
    this.root = element("div", { class: "plot-place" }, this.svg);
    this.draw = () => {
      const width = this.root.clientWidth;
      if (!width) return;
      this.width = width;
      this.svg.setAttribute("width", width);
      this.svg.replaceChildren();
      draw(this);
    };
    new ResizeObserver(this.draw).observe(this.root);
  }

  get inner() {
    return { x0: PLOT.left, x1: this.width - PLOT.right, y0: this.height - PLOT.bottom, y1: PLOT.top };
  }

  add(tag, attributes, ...children) {
    const made = element(tag, attributes, ...children);
    this.svg.append(made);
    return made;
  }

  line(x1, y1, x2, y2, className) {
    return this.add("line", { x1, y1, x2, y2, class: className });
  }

  text(x, y, text, className, anchor = "start") {
    return this.add("text", { x, y, class: className, "text-anchor": anchor }, text);
  }

  /** Ticks along the left side, with lines across. */
  yTicks(values, at, write) {
    const { x0, x1 } = this.inner;
    for (const value of values) {
      this.line(x0, at(value), x1, at(value), "grid");
      this.text(x0 - 6, at(value) + 4, short(write(value)), "tick", "end");
    }
  }

  xTicks(values, at, write) {
    const { y0, y1 } = this.inner;
    for (const value of values) {
      this.line(at(value), y0, at(value), y1, "grid");
      this.text(at(value), y0 + 16, write(value), "tick", "middle");
    }
  }
}

/** Without the digits that say nothing: `96.0 MiB` is 96 MiB. */
const short = (text) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");

const straight = (low, high, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
const logarithmic = (low, high, from, to) => {
  const line = straight(Math.log(low), Math.log(high), from, to);
  return (value) => line(Math.log(value));
};

/** About four round numbers from zero, of bytes in powers of two. */
function roundTicks(high, base) {
  const smallest = high / 4;
  let step = base ** Math.floor(Math.log(smallest) / Math.log(base));
  const factors = base === 1024 ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  step *= factors.find((factor) => factor * step >= smallest);
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

/** Powers of ten within an interval, every second or third where there are many. */
function powersOfTen(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.ceil((last - first + 1) / most);
  return Array.from({ length: Math.floor((last - first) / every) + 1 }, (_, index) => 10 ** (first + index * every));
}

/** The part of this name, own work of a container included. */
const partOf = (network, name) => network.byName.get(name) ?? network.byName.get(`${name} [own ops]`) ?? null;
