// Elements and numbers as people read them. Numbers are written as archscope/units.py does.

/** Make an element; texts stay texts. */
function element(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  fill(made, ...children);
  return made;
}

/** A label that breaks between its words only: `resnext50_` `32x4d`. */
function breakable(label) {
  return label.split(/(?<=[_=,-])/).flatMap((word, place) => (place ? [element("wbr"), word] : [word]));
}

/** Give an element these children in place of others; `null` is none. */
function fill(parent, ...children) {
  parent.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
}

const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "polyline", "title"]);

const UNKNOWN = "–";

/** Fixed-point text; an exact half goes to the even neighbour, as in Python. */
function fixed(number, digits) {
  const halves = number * 2 ** (digits + 1);
  if (Number.isInteger(halves) && Math.abs(halves % 2) === 1 && digits < 16) {
    const below = Math.floor(number * 10 ** digits);
    return ((below % 2 ? below + 1 : below) / 10 ** digits).toFixed(digits);
  }
  return number.toFixed(digits);
}

function plain(number, digits) {
  const rounded = Number(number.toPrecision(digits));
  const exponent = rounded ? Math.floor(Math.log10(Math.abs(rounded)) + 1e-12) : 0;
  return fixed(number, Math.max(0, digits - 1 - exponent));
}

function scaled(number, base, prefixes) {
  const size = Math.abs(number);
  let power = 0;
  while (power < prefixes.length - 1 && Number(plain(size / base ** power, 3)) >= base) power += 1;
  const whole = power === 0 && Number.isInteger(size);
  const digits = whole ? String(size) : plain(size / base ** power, 3);
  return `${number < 0 ? "-" : ""}${digits} ${prefixes[power]}`.trim();
}

const si = (number) => scaled(number, 1000, ["", "k", "M", "G", "T", "P", "E"]);
const bytes = (number) => scaled(number, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const percent = (share) => `${fixed(Math.abs(100 * share) < 0.05 ? 0 : 100 * share, 1)} %`;
const ratio = (quotient) => `${fixed(quotient, quotient < 10 ? 3 : 1)}×`;

function seconds(number) {
  if (!number) return "0 s";
  for (const [scale, unit] of [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]]) {
    if (Math.abs(number) >= scale || unit === "ns") return `${plain(number / scale, 3)} ${unit}`;
  }
}

const WRITERS = { macs: si, count: si, bytes, seconds, percent, ratio,
  exact: (number) => Math.round(number).toLocaleString("en-US") };

function written(number, unit) {
  return number === null || number === undefined ? UNKNOWN : WRITERS[unit](number);
}

/** A difference with its sign. */
function signed(number, unit) {
  if (number === null) return UNKNOWN;
  const text = written(Math.abs(number), unit);
  return number > 0 ? `+${text}` : number < 0 ? `−${text}` : "0";
}
