import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["gateway/ui/static/vendor/"] },
  js.configs.recommended,
  {
    files: ["gateway/ui/static/**/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "max-lines": ["error", 250],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-restricted-globals": ["error", { name: "localStorage", message: "It throws where it is blocked: parts/kept.js." }],
      "no-restricted-properties": [
        "error",
        ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => ({
          property,
          message: "Only markdown/ makes nodes of text, and what it makes is clean.",
        })),
      ],
      "no-unused-vars": ["error", { ignoreRestSiblings: true }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
    },
  },
  { files: ["gateway/ui/static/parts/kept.js"], rules: { "no-restricted-globals": "off" } },
];
