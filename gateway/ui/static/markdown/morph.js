/** Turns nodes into others by the least change, so that a selection, a scrolled table and a formula stay while text comes. */

import { made } from "./made.js";

/**
 * Puts `after` in the place of `before`, its siblings in `parent`. Returns what stands there now.
 * @param {Node} parent @param {Node[]} before @param {Node[]} after @returns {Node[]}
 */
export function morph(parent, before, after) {
  const behind = before.at(-1)?.nextSibling ?? null;
  const stay = after.map((node, index) => {
    const old = before[index];
    return old ? turn(old, node) : parent.insertBefore(node, behind);
  });
  for (const old of before.slice(after.length)) /** @type {ChildNode} */ (old).remove();
  return stay;
}

/** @param {Node} old @param {Node} node */
function turn(old, node) {
  if (old instanceof Text && node instanceof Text) {
    if (node.data.startsWith(old.data)) old.appendData(node.data.slice(old.length));
    else old.data = node.data;
    return old;
  }
  if (made.get(old) !== made.get(node) || old.nodeName !== node.nodeName) {
    /** @type {ChildNode} */ (old).replaceWith(node);
    return node;
  }
  if (made.has(node) || !(old instanceof Element) || !(node instanceof Element)) return old;
  const attributes = [...old.attributes];
  if (attributes.some(({ name }, index) => node.attributes[index]?.name !== name) || node.attributes.length !== attributes.length)
    for (const { name } of attributes) old.removeAttribute(name);
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morph(old, [...old.childNodes], [...node.childNodes]);
  return old;
}
