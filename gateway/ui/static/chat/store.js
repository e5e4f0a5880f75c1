/** Where conversations are kept: IndexedDB, or this tab's memory where a browser has none to give. */

/** @import { Conversation, Head, Message } from "./types.js" */

const NAME = "inferq";
const VERSION = 1;

/**
 * @typedef {object} Store
 * @property {boolean} lasting  whether it is there after the tab
 * @property {() => Promise<Head[]>} heads
 * @property {(id: string) => Promise<Conversation | undefined>} read
 * @property {(id: string) => Promise<Message | undefined>} message
 * @property {() => Promise<Message[]>} running  answers that have not ended, of all conversations
 * @property {(head: Head | null, messages: Message[], removed?: string[]) => Promise<void>} write  all of it or nothing
 * @property {(id: string, patch: Partial<Head>) => Promise<Head | undefined>} patch  what others have changed meanwhile stays
 * @property {(id: string) => Promise<void>} remove
 */

/** @returns {Promise<Store>} */
export async function openStore() {
  try {
    return overDatabase(await database());
  } catch {
    return inMemory(); // of whatever reason: private windows refuse in many ways, and the page says that nothing is kept
  }
}

/** @returns {Promise<IDBDatabase>} */
function database() {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(NAME, VERSION);
    opening.onupgradeneeded = () => {
      const messages = opening.result.createObjectStore("messages", { keyPath: "id" });
      messages.createIndex("conversation", "conversation");
      messages.createIndex("state", "state");
      opening.result.createObjectStore("heads", { keyPath: "id" });
    };
    opening.onsuccess = () => {
      opening.result.onversionchange = () => opening.result.close(); // a tab of a newer release wants to change it
      resolve(opening.result);
    };
    opening.onerror = () => reject(opening.error);
    opening.onblocked = () => reject(new Error("blocked"));
  });
}

/**
 * What a request has found.
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function found(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/**
 * @param {IDBTransaction} transaction
 * @returns {Promise<void>}
 */
function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
  });
}

/**
 * @param {IDBDatabase} opened
 * @returns {Store}
 */
function overDatabase(opened) {
  /** @param {string} index @param {string} value @returns {Promise<Message[]>} */
  const messagesBy = (index, value) =>
    found(opened.transaction("messages").objectStore("messages").index(index).getAll(value));
  return {
    lasting: true,
    heads: () => found(opened.transaction("heads").objectStore("heads").getAll()),
    running: () => messagesBy("state", "running"),
    message: (id) => found(opened.transaction("messages").objectStore("messages").get(id)),
    async read(id) {
      const [head, messages] = await Promise.all([
        found(/** @type {IDBRequest<Head | undefined>} */ (opened.transaction("heads").objectStore("heads").get(id))),
        messagesBy("conversation", id),
      ]);
      return head && { ...head, messages: Object.fromEntries(messages.map((message) => [message.id, message])) };
    },
    async write(head, messages, removed = []) {
      const transaction = opened.transaction(["heads", "messages"], "readwrite");
      if (head) transaction.objectStore("heads").put(head);
      const place = transaction.objectStore("messages");
      for (const message of messages) place.put(message);
      for (const id of removed) place.delete(id);
      await finished(transaction);
    },
    async patch(id, patch) {
      const transaction = opened.transaction("heads", "readwrite");
      const ended = finished(transaction);
      const place = transaction.objectStore("heads");
      const head = await found(/** @type {IDBRequest<Head | undefined>} */ (place.get(id)));
      const changed = head && { ...head, ...patch };
      if (changed) place.put(changed);
      await ended;
      return changed;
    },
    async remove(id) {
      const transaction = opened.transaction(["heads", "messages"], "readwrite");
      transaction.objectStore("heads").delete(id);
      const place = transaction.objectStore("messages");
      const keys = place.index("conversation").getAllKeys(id);
      keys.onsuccess = () => keys.result.forEach((key) => place.delete(key));
      await finished(transaction);
    },
  };
}

/** @returns {Store} */
function inMemory() {
  const heads = /** @type {Map<string, Head>} */ (new Map());
  const messages = /** @type {Map<string, Message>} */ (new Map());
  /** @param {(message: Message) => boolean} wanted */
  const those = (wanted) => [...messages.values()].filter(wanted);
  return {
    lasting: false,
    heads: async () => [...heads.values()],
    running: async () => those(({ state }) => state === "running"),
    message: async (id) => messages.get(id),
    async read(id) {
      const head = heads.get(id);
      const own = those(({ conversation }) => conversation === id);
      return head && { ...head, messages: Object.fromEntries(own.map((message) => [message.id, message])) };
    },
    async write(head, changed, removed = []) {
      if (head) heads.set(head.id, head);
      for (const message of changed) messages.set(message.id, message);
      for (const id of removed) messages.delete(id);
    },
    async patch(id, patch) {
      const head = heads.get(id);
      const changed = head && { ...head, ...patch };
      if (changed) heads.set(id, changed);
      return changed;
    },
    async remove(id) {
      heads.delete(id);
      for (const message of those(({ conversation }) => conversation === id)) messages.delete(message.id);
    },
  };
}
