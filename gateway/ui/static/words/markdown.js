/** Said beside an answer's code. @satisfies {Record<string, import("./index.js").Row>} */
export const markdown = {
  "code.copy": ["Copy", "Kopieren"],
  "code.copied": ["Copied", "Kopiert"],
};
