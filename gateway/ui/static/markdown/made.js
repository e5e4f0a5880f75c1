/** Of what text a node was made that is not its text alone, such as a formula: made of the same, it is kept. */

/** @type {WeakMap<Node, string>} */
export const made = new WeakMap();
