/** Values as text, their order, and the filter. */

const TIMES = ["created"];
const COUNTS = ["epochs", "planned_epochs", "best_epoch", "seed", "test_images"];
const DURATIONS = ["training_seconds"];

/** Three decimals, rounded as Python rounds: what lies exactly between goes to the even digit. */
export function threeDecimals(value) {
  const thousandths = value * 1000;
  const between = Number.isInteger(value * 16) && Math.abs(thousandths % 1) === 0.5;
  if (!between) return value.toFixed(3);
  const low = Math.floor(thousandths);
  return ((low % 2 === 0 ? low : low + 1) / 1000).toFixed(3);
}

export function asText(name, value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (DURATIONS.includes(name) && typeof value === "number") return duration(value);
  if (TIMES.includes(name)) return time(value);
  return typeof value === "number" && isFigure(name, value) ? threeDecimals(value) : String(value);
}

/** A name with a dot is a key of the config, which is shown as it was written. */
function isFigure(name, value) {
  return !COUNTS.includes(name) && !name.includes(".") && (!Number.isInteger(value) || value === 0 || value === 1);
}

export function duration(seconds) {
  const whole = Math.round(seconds);
  if (whole < 100) return `${whole} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function time(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

export function valueOf(row, name) {
  if (name === "name" || name === "status") return row[name];
  return Object.hasOwn(row.values, name) ? row.values[name] : undefined;
}

/** By `sort`, a column, with `-` before it from high to low; what has no value comes last. */
export function sorted(rows, sort) {
  const name = sort.replace(/^-/, "");
  const sign = sort.startsWith("-") ? -1 : 1;
  const missing = (value) => value === null || value === undefined;
  return [...rows].sort((one, other) => {
    const [a, b] = [valueOf(one, name), valueOf(other, name)];
    if (missing(a) || missing(b)) return missing(a) - missing(b) || byText(one.name, other.name);
    const both = typeof a === "number" && typeof b === "number";
    return sign * (both ? a - b : byText(String(a), String(b))) || byText(one.name, other.name);
  });
}

const byText = new Intl.Collator("en", { numeric: true }).compare;

/** The parts of a filter: {text} or {name, operator, wanted}. */
export function parseFilter(filter) {
  return filter.split(/\s+/).filter(Boolean).map((word) => {
    const found = word.match(/^([^=<>]+)(>=|<=|=|>|<)(.+)$/);
    return found ? { name: found[1], operator: found[2], wanted: found[3] } : { text: word.toLowerCase() };
  });
}

export function matches(row, parts, columns) {
  return parts.every((part) => {
    if (part.text) return inAnyCell(row, part.text, columns);
    const value = valueOf(row, part.name);
    if (value === null || value === undefined) return false;
    if (part.operator === "=") return String(value).toLowerCase() === part.wanted.toLowerCase() || value === Number(part.wanted);
    const [a, b] = [Number(value), Number(part.wanted)];
    return { ">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b }[part.operator];
  });
}

function inAnyCell(row, text, columns) {
  const names = ["name", "status", ...columns];
  return names.some((name) => asText(name, valueOf(row, name)).toLowerCase().includes(text));
}
