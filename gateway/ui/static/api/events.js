/** Server-sent events of a response, read as they come. */

/** @typedef {{id: string, event: string, data: string, comment: string}} ServerEvent  one of `data` and `comment` is empty */

/**
 * @param {Response} response
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let id = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        let event = "message";
        let comment = "";
        const data = [];
        for (const line of part.split("\n")) {
          const colon = line.indexOf(":");
          const name = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (name === "") comment = text;
          else if (name === "data") data.push(text);
          else if (name === "event") event = text;
          else if (name === "id") id = text;
        }
        yield { id, event, data: data.join("\n"), comment: data.length ? "" : comment };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
