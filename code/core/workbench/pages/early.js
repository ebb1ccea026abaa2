/** What the address needs, asked for at once: the module of its page, and the strips it names. */
import { PAGES, readAddress } from "./state.js";

const REST = 1000; // milliseconds until the other pages are loaded

const place = readAddress(location.hash);
const modules = {}, answers = new Map();

/** The module of a page, which is asked for anew where the server did not answer. */
export function load(page) {
  modules[page] ??= import(`./${page}.js`);
  modules[page].catch(() => delete modules[page]);
  return modules[page];
}

export const stripsPath = (place) => `api/strips/${encodeURIComponent(place)}`;

/** The answer that was asked for already, for whoever comes first; undefined where none was. */
export function takeEarly(path) {
  const answer = answers.get(path);
  answers.delete(path);
  return answer;
}

load(place.page);
if (place.page === "strips" && place.place) {
  const path = stripsPath(place.place);
  const answer = fetch(path, { cache: "no-store" });
  answer.catch(() => {}); // told by whoever takes it
  answers.set(path, answer);
  if (place.strip) new Image().src = `${path}/${encodeURIComponent(place.strip)}/image`;
}
// A page that is opened later is there at once, also when the server has gone.
setTimeout(() => PAGES.forEach(load), REST);
