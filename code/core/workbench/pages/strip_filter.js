/** Which strips are shown, in which order: pure functions of what the server sent and the address. */

export const VERDICTS = [
  ["wrong", "any class wrong"], ["missed", "a defect is missed"], ["alarm", "a false alarm"], ["right", "all right"],
];
export const ORDERS = [
  ["", "by name"], ["disagreement", "most suspect label first"], ["unsure", "least sure first"], ["novelty", "most novel first"],
];
const NONE = "none";

/** What another experiment predicts for these strips: names of classes by row, null where unknown. */
export function predictedBy(found, other) {
  const rows = new Map(other.keys.map((key, row) => [key, row]));
  return found.keys.map((key) => {
    const numbers = other.predicted[rows.get(key)];
    return numbers ? numbers.map((number) => other.classes[number]) : null;
  });
}

/** Whether both predict, and not the same classes. */
function differs(found, row, against) {
  if (!found.predicted[row] || !against[row]) return false;
  const own = found.predicted[row].map((number) => found.classes[number]);
  return own.length !== against[row].length || own.some((name) => !against[row].includes(name));
}

/**
 * The numbers of the strips that match, in the order that the address names. With `against`, what
 * another experiment predicts, only those on which the two decide differently.
 */
export function chosenRows(found, state, against) {
  const text = state.find.toLowerCase();
  const rows = [];
  for (let row = 0; row < found.ids.length; row++) {
    if (text && !found.ids[row].toLowerCase().includes(text)) continue;
    if (state.part && found.parts[row] !== state.part) continue;
    if (!has(found.labels[row], state.given) || !has(found.predicted[row], state.predicted)) continue;
    if (state.verdict && !isSo(verdict(found, row), state.verdict)) continue;
    if (against && !differs(found, row, against)) continue;
    rows.push(row);
  }
  const rank = ranking(found, state.rank);
  return rank ? rows.map((row) => [rank(row), row]).sort(fromHigh).map(([, row]) => row) : rows;
}

/** Classes that are missed and that are false alarms; null where nothing is predicted. */
export function verdict(found, row) {
  const [labels, predicted] = [found.labels[row], found.predicted[row]];
  if (!labels || !predicted) return null;
  return {
    missed: labels.filter((number) => !predicted.includes(number)),
    alarms: predicted.filter((number) => !labels.includes(number)),
  };
}

function has(numbers, wanted) {
  if (!wanted) return true;
  if (!numbers) return false;
  return wanted === NONE ? !numbers.length : numbers.includes(Number(wanted) - 1);
}

function isSo(found, wanted) {
  if (!found) return false;
  const wrong = found.missed.length + found.alarms.length > 0;
  return { wrong, right: !wrong, missed: found.missed.length > 0, alarm: found.alarms.length > 0 }[wanted] ?? true;
}

function ranking(found, name) {
  const column = { disagreement: found.disagreement, novelty: found.novelty }[name];
  if (column) return (row) => column[row];
  if (name === "unsure") return (row) => (found.margin[row] === null ? null : -found.margin[row]);
  const number = Number(name) - 1;
  return name && found.classes[number] !== undefined ? (row) => found.probabilities[row]?.[number] ?? null : null;
}

/** What has no value comes last; equal ones stay in the order of their names. */
function fromHigh([a, first], [b, second]) {
  if (a === null || b === null) return (a === null) - (b === null) || first - second;
  return b - a || first - second;
}

/** Classes by their numbers as text; "unknown" where no label is known. */
export function classList(found, numbers, nothing = "no defect") {
  if (!numbers) return "unknown";
  return numbers.map((number) => found.classes[number]).join(", ") || nothing;
}
