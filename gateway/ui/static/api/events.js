/** Server-sent events of a response, read as they come. */

/** @typedef {{id: string, event: string, data: string, comment: string}} ServerEvent  one of `data` and `comment` is empty */

/**
 * A comment is told at once: in streams with ids no blank line follows it.
 * @param {Response} response
 * @returns {AsyncGenerator<ServerEvent>}
 */
export async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let id = "";
  let event = "message";
  let data = /** @type {string[]} */ ([]);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (line === "") {
          if (data.length) yield { id, event, data: data.join("\n"), comment: "" };
          event = "message";
          data = [];
        } else if (name === "") yield { id, event, data: "", comment: text };
        else if (name === "data") data.push(text);
        else if (name === "event") event = text;
        else if (name === "id") id = text;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
