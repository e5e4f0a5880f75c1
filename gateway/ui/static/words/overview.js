/** Said in the overview. @satisfies {Record<string, import("./index.js").Row>} */
export const overview = {
  "models": ["Models", "Modelle"],
};
