/** A small chart of the last hour: lines or bars over minutes, in the colours of the page, and as a table for who cannot see it. */

import { effect, html, useEffect, useRef } from "../vendor/preact.js";
import UPlot from "../vendor/uplot.js";
import { theme } from "../parts/appearance.js";
import { locale } from "../parts/numbers.js";
import { language, t } from "../words/index.js";
import { Table } from "./table.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {(number | null)[]} values
 * @property {"accent" | "quiet" | "bad"} colour
 * @property {boolean} [bars]
 * @property {boolean} [dashed]
 */

const HEIGHT = 132;

/**
 * A colour of the page as it is now: canvases know no `light-dark()`.
 * @param {string} name
 */
function colour(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/**
 * Values that have none beside them: no line leads there, so they are dots.
 * @param {ArrayLike<number | null | undefined>} values
 */
function lonely(values) {
  const there = (/** @type {number} */ index) => typeof values[index] === "number";
  return Array.from(values, (_, index) => index).filter((index) => there(index) && !there(index - 1) && !there(index + 1));
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {number[]} props.times  Unix times in seconds
 * @param {Line[]} props.lines
 * @param {(value: number) => string} props.say
 */
export function Chart({ title, times, lines, say }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {UPlot | null} */ (null));
  const data = /** @type {UPlot.AlignedData} */ ([times, ...lines.map((line) => line.values)]);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const node = /** @type {HTMLDivElement} */ (place.current);
    const draw = () => {
      plot.current?.destroy();
      plot.current = new UPlot(options(node.clientWidth, lines, say), latest.current, node);
    };
    const undo = effect(() => {
      theme.value; // whose colours are drawn
      draw();
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    const fits = new ResizeObserver(() => plot.current?.setSize({ width: node.clientWidth, height: HEIGHT }));
    fits.observe(node);
    return () => {
      undo();
      dark.removeEventListener("change", draw);
      fits.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [language.value, lines.map((line) => line.label).join()]);
  useEffect(() => plot.current?.setData(data), [data]);

  return html`<figure class="chart">
    <figcaption><span>${title}</span>${lines.map(
      (line) => html`<span class=${`legend ${line.colour} ${line.dashed ? "dashed" : ""}`}>${line.label} <b>${last(line.values, say)}</b></span>`,
    )}</figcaption>
    <div class="plot" ref=${place} aria-hidden="true"></div>
    <${Numbers} title=${title} times=${times} lines=${lines} say=${say} />
  </figure>`;
}

/** @param {(number | null)[]} values @param {(value: number) => string} say */
function last(values, say) {
  const value = values.findLast((each) => each !== null);
  return value === null || value === undefined ? "–" : say(value);
}

/**
 * @param {number} width
 * @param {Line[]} lines
 * @param {(value: number) => string} say
 * @returns {UPlot.Options}
 */
function options(width, lines, say) {
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` };
  const clock = new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit" });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 18, 0, 0],
    scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) > 0 ? 1.08 * most : 1] } },
    axes: [
      { ...axis, size: 22, space: 70, values: (_, splits) => splits.map((each) => clock.format(1000 * each)) },
      { ...axis, size: 56, space: 28, values: (_, splits) => splits.map(say) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: line.bars ? 0 : 1.6,
        fill: line.bars ? colour(line.colour) : undefined,
        paths: line.bars ? UPlot.paths.bars?.({ size: [0.8, 12] }) : undefined,
        dash: line.dashed ? [5, 4] : undefined,
        points: { show: !line.bars, size: 5, fill: colour(line.colour), filter: (/** @type {UPlot} */ plot, /** @type {number} */ index) => lonely(plot.data[index] ?? []) },
        spanGaps: false,
      })),
    ],
  };
}

/** @param {Parameters<typeof Chart>[0]} props  the same as numbers, made when somebody asks for them */
function Numbers({ title, times, lines, say }) {
  const clock = new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit" });
  const open = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  const rows = () =>
    times.map((at, index) => ({
      key: String(at),
      cells: [clock.format(1000 * at), ...lines.map(({ values }) => (typeof values[index] === "number" ? say(values[index]) : "–"))],
    }));
  return html`<details ref=${open} class="chart-numbers"><summary aria-label=${t("numbers.of", { title })}>${t("numbers")}</summary>
    ${open.current?.open && html`<${Table} label=${title} columns=${[{ title: t("when") }, ...lines.map((line) => ({ title: line.label, number: true }))]} rows=${rows()} />`}
  </details>`;
}
