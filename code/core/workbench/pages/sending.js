/** Asks the server to do something. */

export const SILENT = "The server does not answer. Is code/workbench.py still running?";

/** What the server answers; {problem} where it refuses or is silent. */
export async function send(path, content = {}) {
  try {
    const response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
    });
    const found = await response.json().catch(() => null);
    if (response.ok || found?.problem) return found;
    return { problem: `${response.status}: ${JSON.stringify(found?.detail ?? "refused").slice(0, 300)}` };
  } catch {
    return { problem: SILENT };
  }
}

/** A name for one request: sent twice, it is carried out once. */
export function requestName() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
