/** What would take long to read as Markdown, or become too many nodes: it is shown as it is. */

/** Quotes and lists in each other. */
const DEEPEST = 12;
/** Spaces before a line. */
const FURTHEST = 60;
/** Cells of a table in one block; each row has as many as its head. */
const MOST_CELLS = 12_000;
/** Characters with which something may begin, times those in which its end is looked for. */
const MOST_STEPS = 1_500_000;

const DEEP = new RegExp(`^(?:[ \\t]*(?:>|[-*+](?=[ \\t])|\\d{1,9}[.)](?=[ \\t]))){${DEEPEST}}|^[ \\t]{${FURTHEST}}`, "m");
const RULE = /^[\s>|:*+\d.)-]+$/;
const PIECES = /\n(?=[ \t]*(?:[-*+>|#\n]|\d{1,9}[.)]|$))/;
const MARKS = /[*_~[\]`<$\\!:@]/g;

/** @param {string} text  of one block */
export function intricate(text) {
  if (DEEP.test(text)) return true;
  const lines = text.split("\n");
  if (lines.some((line) => RULE.test(line) && line.split("|").length * lines.length > MOST_CELLS)) return true;
  return text.split(PIECES).some((piece) => piece.length * (piece.match(MARKS)?.length ?? 0) > MOST_STEPS);
}
