// Puts the libraries of the page beside it: each one ES module, as npm has it, in small, with its licence.
//
//     npm ci && node deploy/vendor.mjs
//
// What it writes is committed, so that nobody who runs inferq needs npm.

import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const PLACE = "gateway/ui/static/vendor";
const LANGUAGES =
  "bash c cpp css diff go ini java javascript json lua makefile markdown php python ruby rust sql swift typescript xml yaml".split(" ");

/** Each module: what it exports of which packages, and its types. */
const MODULES = {
  preact: {
    packages: ["preact", "htm", "@preact/signals", "@preact/signals-core"],
    code: `export * from "preact"; export * from "preact/hooks"; export * from "@preact/signals";
      import { h } from "preact"; import htm from "htm"; export const html = htm.bind(h);`,
    types: `export * from "preact"; export * from "preact/hooks"; export * from "@preact/signals";
      import { VNode } from "preact"; export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;`,
  },
  marked: { packages: ["marked"], code: `export * from "marked";`, types: `export * from "marked";` },
  purify: { packages: ["dompurify"], code: `export { default } from "dompurify";`, types: `export { default } from "dompurify";` },
  highlight: {
    packages: ["@highlightjs/cdn-assets"],
    code: [
      `import core from "@highlightjs/cdn-assets/es/core.min.js";`,
      ...LANGUAGES.map((name) => `import ${name} from "@highlightjs/cdn-assets/es/languages/${name}.min.js";`),
      ...LANGUAGES.map((name) => `core.registerLanguage("${name}", ${name});`),
      `export default core;`,
    ].join("\n"),
    types: `interface Highlighted { value: string; language?: string }
      declare const core: {
        getLanguage(name: string): object | undefined;
        highlight(code: string, options: { language: string; ignoreIllegals?: boolean }): Highlighted;
      };
      export default core;`,
  },
  katex: { packages: ["katex"], code: `export { default } from "katex";`, types: `export { default } from "katex";` },
  uplot: {
    packages: ["uplot"],
    code: `export { default } from "uplot";`,
    types: `export { default } from "uplot";`,
    style: "node_modules/uplot/dist/uPlot.min.css",
  },
};

await rm(PLACE, { recursive: true, force: true });
await mkdir(PLACE, { recursive: true });
const told = ["What lies here is others' work, as npm has it, made small by `make vendor`.", ""];
for (const [name, { packages, code, types, style }] of Object.entries(MODULES)) {
  const lines = [];
  for (const each of packages) {
    const { version, license } = JSON.parse(await readFile(join("node_modules", each, "package.json"), "utf8"));
    lines.push(`${each} ${version}, ${license}`);
    const [file] = (await readdir(join("node_modules", each))).filter((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${each} comes without its licence`);
    told.push("-".repeat(80), `${each} ${version} (${name}.js): ${license}`, "", (await readFile(join("node_modules", each, file), "utf8")).trim(), "");
  }
  const made = await build({
    stdin: { contents: code, resolveDir: "." },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    banner: { js: `/*! ${lines.join("; ")}: see LICENCES.txt */` },
  });
  await writeFile(join(PLACE, `${name}.js`), made.outputFiles[0].contents);
  await writeFile(join(PLACE, `${name}.d.ts`), `// ${lines.join("; ")}\n${types.replace(/^ +/gm, "")}\n`);
  if (style) await writeFile(join(PLACE, `${name}.css`), await readFile(style));
}
await writeFile(join(PLACE, "LICENCES.txt"), told.join("\n"));
