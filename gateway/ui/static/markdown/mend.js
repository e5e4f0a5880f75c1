/** What a block that is still written will probably become: open ends are closed, half signs are held back, so that nothing flickers. */

const HALF_LINE = /^[ \t>]*(?:`{1,2}|`{3,}[^`]*|~+.*|[-*+]|\d{1,9}[.)]?|#{1,6}|[-=|: \t]*|[-*+] \[[ x]?\]?)[ \t]*$/;
const HALF_TABLE = /^ {0,3}\|.*\n?$/;
const HALF_LINK = /!?\[([^[\]\n]{0,300})(?:\]|\]\([^()\s]{0,2000}(?:[ \t]+"[^"\n]{0,300})?)?$/;
const RUN = /(\\[^\n])|(`+)|([*_]{1,3}|~{2})|(\$\$|\\[[(])/g;
const CODE_END = /** @type {Record<number, RegExp>} */ ({ 1: /(?<!`)`(?!`)/, 2: /(?<!`)``(?!`)/ });

/** @param {string} text  of one block, to where it has come */
export function mend(text) {
  if (HALF_TABLE.test(text)) return "";
  const line = text.lastIndexOf("\n") + 1;
  if (HALF_LINE.test(text.slice(line))) return text.slice(0, line);
  const piece = text.search(/\n[ \t]*(?:[-*+>#|]|\d{1,9}[.)])[^\n]*$/) + 1 || text.lastIndexOf("\n\n") + 1;
  return text.slice(0, piece) + close(text.slice(piece));
}

/** @param {string} text */
function close(text) {
  let trimmed = text.trimEnd().replace(/[*_~]+$/, "").trimEnd();
  trimmed = trimmed.replace(HALF_LINK, "$1");
  const open = /** @type {string[]} */ ([]);
  RUN.lastIndex = 0;
  for (let run = RUN.exec(trimmed); run; run = RUN.exec(trimmed)) {
    const [mark, , ticks, emphasis] = run;
    const end = run.index + mark.length;
    if (ticks) {
      const closing = ticks.length < 3 ? trimmed.slice(end).search(CODE_END[ticks.length] ?? /$/) : trimmed.slice(end).indexOf(ticks);
      if (closing < 0) {
        const last = trimmed.slice(0, -1).endsWith("`") || end === trimmed.length;
        return last ? trimmed.slice(0, run.index) : trimmed + ticks + open.reverse().join("");
      }
      RUN.lastIndex = end + closing + ticks.length;
    } else if (emphasis) {
      const at = open.lastIndexOf(mark);
      if (at >= 0 && /\S/.test(trimmed[run.index - 1] ?? " ")) open.length = at;
      else if (/\S/.test(trimmed[end] ?? " ") && !(mark[0] === "_" && /\w/.test(trimmed[run.index - 1] ?? " "))) open.push(mark);
    }
  }
  return trimmed + open.reverse().join("");
}
