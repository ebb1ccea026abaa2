/** What is shown stands in the address, so that every view is a link. */

export const DEFAULT_COLUMNS = [
  "kind", "created", "epochs", "macro_f1", "macro_average_precision", "validation_macro_f1",
  "model", "loss", "seed",
];

const TEXTS = { filter: "", kind: "", status: "", sort: "-created", by: "macro_f1", smooth: "", key: "" };
const STRIPS = {
  place: "", strip: "", find: "", part: "", given: "", predicted: "", verdict: "", rank: "", other: "",
  zoom: "", at: "", map: "", method: "",
};
const REVIEW = { order: "suspects", only: "", again: "" };
const NEW = { clone: "", job: "", values: "" };
Object.assign(TEXTS, STRIPS, REVIEW, NEW);
const LISTS = { column: DEFAULT_COLUMNS, selected: [], over: ["truth"] };
export const PAGES = ["experiments", "experiment", "compare", "strips", "review", "new", "gain"];

export function readAddress(hash) {
  const [page, query = ""] = hash.replace(/^#/, "").split("?");
  const given = new URLSearchParams(query);
  const state = { page: PAGES.includes(page) ? page : "experiments" };
  for (const name in TEXTS) state[name] = given.get(name) ?? TEXTS[name];
  for (const name in LISTS) state[name] = given.has(name) ? given.getAll(name).filter(Boolean) : LISTS[name];
  return state;
}

export function writeAddress(state) {
  const query = new URLSearchParams();
  for (const name in TEXTS) if (state[name] !== TEXTS[name]) query.set(name, state[name]);
  for (const name in LISTS) {
    if (state[name].join("\n") === LISTS[name].join("\n")) continue;
    // An empty list is not the default one.
    for (const value of state[name].length ? state[name] : [""]) query.append(name, value);
  }
  const text = query.toString();
  return `#${state.page}${text ? `?${text}` : ""}`;
}
