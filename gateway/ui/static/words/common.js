/** Said on both pages. @satisfies {Record<string, import("./index.js").Row>} */
export const common = {
  "title.chat": ["Chat", "Chat"],
  "title.overview": ["Overview", "Übersicht"],
  "close": ["Close", "Schließen"],
  "cancel": ["Cancel", "Abbrechen"],
};
