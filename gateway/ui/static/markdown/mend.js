/** What a block that is still written will probably become: open ends are closed, half signs are held back, so that nothing flickers. */

const HALF_LINE = /^[ \t>]*(?:`{1,2}|`{3,}[^`]*|~+.*|[-*+]|\d{1,9}[.)]?|#{1,6}|[-=|: \t]*|[-*+] \[[ x]?\]?)[ \t]*$/;
const HALF_TABLE = /^ {0,3}\|.*\n?$/;
const HALF_LINK = /!?\[([^[\]\n]{0,300})(?:\]|\]\([^()\s]{0,2000}(?:[ \t]+"[^"\n]{0,300})?)?$/;
const HALF_FORMULA = /(?:^|\n)[ \t]*(?:\$\$(?:[^$]|\$(?!\$))*|\\\[(?:[^\\]|\\(?!\]))*)$/;
const FORMULA = /\$\$[^]*?\$\$|\\\[[^]*?\\\]/g;
const HALF_SIGN = /(?:[*_~]+|(?<=^|\s)\$+|\\)$/;
const RUN = /(\$\$|\\[[(])|\\[^\n]|(`+)|([*_]{1,3}|~{2})/g;
const ENDS = /** @type {Record<string, string>} */ ({ "$$": "$$", "\\[": "\\]", "\\(": "\\)" });

/** @param {string} text  of one block, to where it has come */
export function mend(text) {
  const line = text.lastIndexOf("\n") + 1;
  const whole = HALF_LINE.test(text.slice(line)) ? text.slice(0, line) : text;
  if (HALF_TABLE.test(whole)) return "";
  const formula = HALF_FORMULA.exec(whole.replace(FORMULA, (found) => "x".repeat(found.length)));
  if (formula) return whole.slice(0, formula.index);
  const piece = whole.search(/\n[ \t]*(?:[-*+>#|]|\d{1,9}[.)])[^\n]*$/) + 1 || whole.lastIndexOf("\n\n") + 1;
  return whole.slice(0, piece) + close(whole.slice(piece));
}

/** @param {string} piece  all that can belong together */
function close(piece) {
  const text = piece.trimEnd().replace(HALF_SIGN, "").trimEnd().replace(HALF_LINK, "$1");
  const open = /** @type {string[]} */ ([]);
  const closed = () => open.reverse().join("");
  RUN.lastIndex = 0;
  for (let run = RUN.exec(text); run; run = RUN.exec(text)) {
    const [mark, formula, ticks, emphasis] = run;
    const end = run.index + mark.length;
    const before = text[run.index - 1] ?? " ";
    if (formula) {
      const closing = text.indexOf(ENDS[formula] ?? "", end);
      if (closing < 0) return text.slice(0, run.index).trimEnd() + closed();
      RUN.lastIndex = closing + 2;
    } else if (ticks) {
      const closing = new RegExp(`(?<!\`)${ticks}(?!\`)`).exec(text.slice(end));
      if (!closing) return end === text.length ? text.slice(0, run.index).trimEnd() + closed() : text + ticks + closed();
      RUN.lastIndex = end + closing.index + ticks.length;
    } else if (emphasis) {
      const at = open.lastIndexOf(mark);
      if (at >= 0 && /\S/.test(before)) open.length = at;
      else if (/\S/.test(text[end] ?? " ") && !(mark[0] === "_" && /\w/.test(before))) open.push(mark);
    }
  }
  return text + closed();
}
