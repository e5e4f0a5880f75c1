/** A table that scrolls in its own box where it has no room. */

import { html } from "../vendor/preact.js";

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {boolean} [number]  set to the right, figures of one width
 */

/**
 * @param {object} props
 * @param {string} props.label
 * @param {Column[]} props.columns
 * @param {{key: string, cells: unknown[], class?: string}[]} props.rows  the first cell names its row
 */
export function Table({ label, columns, rows }) {
  return html`<div class="scrolls" role="region" aria-label=${label} tabindex="0">
    <table>
      <thead><tr>${columns.map(({ title, number }) => html`<th scope="col" class=${number ? "number" : ""}>${title}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(
          ({ key, cells, class: kind = "" }) => html`<tr key=${key} class=${kind}>
            ${cells.map((cell, index) =>
              index
                ? html`<td class=${columns[index]?.number ? "number" : ""}>${cell}</td>`
                : html`<th scope="row">${cell}</th>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
