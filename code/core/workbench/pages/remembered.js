/** What the browser keeps for this page; a browser that keeps nothing is as one that forgot. */

const PREFIX = "workbench.";

export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch { /* not allowed, or full */ }
}

export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch { /* not allowed */ }
}
