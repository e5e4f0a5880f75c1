/** Said in the chat. @satisfies {Record<string, import("./index.js").Row>} */
export const chat = {
  "send": ["Send", "Senden"],
  "stop": ["Stop", "Anhalten"],
  "ask": ["Ask something", "Frag etwas"],
};
