/** One answer on its way: asked for, read as it comes from whichever gateway there is, stopped. */

import { ApiError, ask, key } from "../api/client.js";
import { events } from "../api/events.js";
import { extended, says, standing, unread } from "./deltas.js";

/** @import { Message, Phase, Running } from "./types.js" */
/** @import { ServerEvent } from "../api/events.js" */

/** Milliseconds between two pictures of an answer, and between two times that it is kept. */
const FRAME = 40;
const SAVE = 250;
/** Milliseconds without a sign after which a stream is taken for dead: the gateway gives one every 15 s. */
const SILENCE = 40_000;
/** Milliseconds that a request waits for its status line. */
const PATIENCE = 30_000;
/** Milliseconds for which what comes may have been there before: a stream that is read again sends that first. */
const REPLAY = 1000;
/** How often an answer is asked to stop while its gateway is away. */
const STOPS = 6;

export class Answer {
  /** @type {Phase} */
  #phase = { kind: "sending" };
  #wake = () => {};
  #cut = new AbortController();
  #heard = 0;
  #connected = 0;
  #direct = false;
  #count = 0;
  #since = 0;
  /** @type {number | undefined} */ #painting;
  /** @type {number | undefined} */ #saving;

  /**
   * @param {Message} message  as it was left
   * @param {(running: Running) => void} show
   * @param {(message: Message) => Promise<void>} keep  text and place in one
   */
  constructor(message, show, keep) {
    this.message = message;
    this.show = show;
    this.keep = keep;
  }

  /** To its end, whatever happens on the way. Returns the message. */
  async run() {
    const again = () => this.#wake();
    const seen = () => {
      this.#look();
      if (!document.hidden && this.#phase.kind === "reconnecting") this.#wake();
    };
    const watch = setInterval(() => this.#look(), 5000);
    addEventListener("online", again);
    document.addEventListener("visibilitychange", seen);
    const unsubscribe = key.subscribe(again);
    try {
      if (this.message.request) await this.#submit();
      if (this.message.state === "running") await this.#read();
    } catch (error) {
      reportError(error); // a fault of the page itself: without this the answer would never end
      this.#end({ state: "failed", error: { status: 0, code: null, message: String(error) } });
    } finally {
      clearInterval(watch);
      clearTimeout(this.#painting);
      clearTimeout(this.#saving);
      removeEventListener("online", again);
      document.removeEventListener("visibilitychange", seen);
      unsubscribe();
    }
    return this.message;
  }

  stop() {
    this.#change({ stopping: true });
    this.#cut.abort();
    this.#wake();
  }

  /** Have the answer made as a job. Sent again after a broken connection, the request joins the job that there is. */
  async #submit() {
    let unsure = false;
    for (let failures = 0; this.message.request; failures += 1) {
      if (this.message.stopping && !unsure) return this.#end({ state: "stopped" });
      const { key: name, body } = this.message.request;
      try {
        const headers = { Prefer: "respond-async", "Idempotency-Key": name };
        const response = await ask("/v1/chat/completions", { body, headers, signal: AbortSignal.timeout(PATIENCE) });
        const { request, ...rest } = this.message;
        const location = response.headers.get("Location") ?? "";
        this.message = { ...rest, job: { location, after: "", from: rest.content.length } };
        this.#direct = true;
        await this.keep(this.message);
      } catch (error) {
        unsure = isBreak(error);
        await this.#recover(error, failures);
      }
    }
  }

  async #read() {
    for (let failures = 0; this.message.state === "running"; failures += 1) {
      const { job } = this.message;
      if (!job) return this.#end({ state: "failed", error: { status: 0, code: "job_not_found", message: "" } });
      if (this.message.stopping) return this.#cancel(job.location);
      try {
        this.#cut = new AbortController();
        this.#connected = this.#heard = Date.now();
        const headers = { "x-inferq-progress": "1", ...(job.after && { "Last-Event-ID": job.after }) };
        const response = await ask(`${job.location}/events`, { headers, signal: this.#cut.signal });
        if (response.status === 204) return this.#end({ state: "done" });
        for await (const event of events(response)) {
          if (this.#cut.signal.aborted) break;
          this.#take(event);
          if (this.message.state !== "running") return;
          failures = 0;
        }
        throw new ApiError(0, "cut off");
      } catch (error) {
        if (this.message.stopping) continue;
        this.#direct = false;
        this.#count = 0;
        if (error instanceof ApiError && error.code === "unknown_event") this.message = unread(this.message);
        else await this.#recover(error, failures);
      }
    }
  }

  /** @param {string} location */
  async #cancel(location) {
    this.#set({ kind: "stopping" });
    for (let failures = 0; failures < STOPS; failures += 1) {
      try {
        await ask(location, { method: "DELETE", signal: AbortSignal.timeout(PATIENCE) });
        break;
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) break;
        await this.#pause(backoff(failures));
      }
    }
    this.#end({ state: "stopped" });
  }

  /** @param {ServerEvent} event */
  #take({ id, data, comment }) {
    this.#heard = Date.now();
    if (comment) {
      const phase = standing(comment);
      if (phase) this.#set(phase);
    } else if (data === "[DONE]") this.#end({ state: "done" });
    else {
      const chunk = JSON.parse(data);
      const { job } = this.message;
      this.message = { ...extended(this.message, chunk), ...(job && { job: { ...job, after: id } }) };
      if (this.message.state !== "running") return this.#end({});
      if (says(chunk)) this.#said();
      this.#changed();
    }
  }

  /** A token more: one that comes as it is made counts for the speed. */
  #said() {
    const now = Date.now();
    const { timings } = this.message;
    if (this.#isLive()) {
      if (timings && !timings.first) this.message.timings = { ...timings, first: now };
      if (!this.#count) this.#since = now;
      this.#count += 1;
    }
    const seconds = (now - this.#since) / 1000;
    this.#phase = { kind: "writing", speed: this.#count > 2 && seconds > 0.3 ? (this.#count - 1) / seconds : null };
  }

  #isLive() {
    return this.#direct || Date.now() - this.#connected > REPLAY;
  }

  /** @param {unknown} error @param {number} failures */
  async #recover(error, failures) {
    if (isBreak(error)) {
      const wait = failures ? backoff(failures - 1) : 100;
      await this.#pause(wait, { kind: "reconnecting", until: Date.now() + wait });
    } else if (!(error instanceof ApiError)) throw error;
    else if (error.status === 401) await this.#pause(Infinity, { kind: "key" });
    else if (!error.lasting && (error.status === 429 || error.status === 503)) {
      const wait = error.retryAfter ? 1000 * error.retryAfter : backoff(failures);
      await this.#pause(wait, { kind: "full", until: Date.now() + wait, message: error.message });
    } else {
      const { status, code, message } = error;
      this.#end({ state: "failed", error: { status, code, message } });
    }
  }

  /** @param {number} wait  in milliseconds @param {Phase} [phase] */
  async #pause(wait, phase) {
    if (phase) this.#set(phase);
    await new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
      if (wait < Infinity) setTimeout(resolve, wait);
    });
  }

  /** Whether a stream that says nothing is dead, as after a phone has slept. */
  #look() {
    if (Date.now() - this.#heard > SILENCE) this.#cut.abort();
  }

  /** @param {Partial<Message>} patch */
  #end(patch) {
    const { request, job, stopping, ...rest } = { ...this.message, ...patch };
    const { timings } = rest;
    if (timings?.first && this.#isLive()) rest.timings = { ...timings, last: Date.now() };
    this.message = rest;
  }

  /** @param {Phase} phase */
  #set(phase) {
    this.#phase = phase;
    this.#changed();
  }

  /** @param {Partial<Message>} patch */
  #change(patch) {
    this.message = { ...this.message, ...patch };
    this.#changed();
  }

  #changed() {
    this.#painting ??= setTimeout(() => {
      this.#painting = undefined;
      this.show({ message: this.message, phase: this.#phase });
    }, FRAME);
    this.#saving ??= setTimeout(async () => {
      await this.keep(this.message);
      this.#saving = undefined;
    }, SAVE);
  }
}

/** @param {unknown} error */
function isBreak(error) {
  return error instanceof ApiError ? [0, 502, 504].includes(error.status) : error instanceof TypeError || error instanceof DOMException;
}

/** @param {number} failures */
function backoff(failures) {
  return Math.min(15_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2);
}
