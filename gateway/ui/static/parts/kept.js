/** Small things that the browser keeps for the page: the key, choices, drafts. Where it keeps nothing, this tab does. */

/** @type {Map<string, string>} */
const here = new Map();

/** What was kept under a name. @param {string} name @returns {string | null} */
export function kept(name) {
  try {
    return here.get(name) ?? localStorage.getItem(name);
  } catch {
    return null; // who blocks cookies has no storage: it throws
  }
}

/** Keep a text under a name; nothing lets go of it. @param {string} name @param {string} [text] */
export function keep(name, text = "") {
  here.delete(name);
  try {
    if (text) localStorage.setItem(name, text);
    else localStorage.removeItem(name);
  } catch {
    if (text) here.set(name, text); // blocked, or full
  }
}
