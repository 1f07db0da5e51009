// @ts-check
/**
 * The outbox: what a farmer has confirmed stays here until the server says, by name, that it has it.
 *
 * The rules, in one place:
 *  - a command is kept before anything else happens, and sent in the order it was made;
 *  - only a JSON answer that repeats the command's own uuid removes it (a captive portal also says 200);
 *  - 401, and 403 for the wrong role, keep the whole queue and ask to sign in again;
 *  - a command goes out under the name of whoever made it: another person's waits for her to sign in;
 *  - any other 4xx parks that one command where it can be seen, and the rest goes on;
 *  - no answer, 408, 429 and 5xx wait, 5 seconds first, 5 minutes at most, in the same order.
 *
 * Nothing here knows of IndexedDB or of pages: the store and the sender are given, so the same code runs in tests.
 *
 * @typedef {"waiting" | "parked" | "put_away"} EntryState
 * @typedef {{title: string, detail: string, code: string, status: number}} Problem
 * @typedef {{
 *   uuid: string, seq: number, owner: string, kind: "pick" | "photo", payload: any, note: Record<string, string>,
 *   created_at: string,
 *   state: EntryState, tries: number, problem: Problem | null,
 * }} Entry  payload goes to the server as it is; note is what the screen calls it
 * @typedef {{status: number, body: any} | null} Answer  null: nobody answered
 * @typedef {{
 *   all(): Promise<Entry[]>,
 *   add(entry: Omit<Entry, "seq">): Promise<Entry>,
 *   put(entry: Entry): Promise<void>,
 *   remove(uuid: string): Promise<void>,
 * }} Store
 * @typedef {"idle" | "sending" | "backing_off" | "sign_in"} OutboxState
 * @typedef {{
 *   state: OutboxState, unsent: number, parked: number, others: number, retry_at: number | null, entries: Entry[],
 * }} Summary  others: how many of the unsent were made by somebody else on this phone
 */

export const FIRST_WAIT_MS = 5_000;
export const LONGEST_WAIT_MS = 300_000;

/**
 * Return what an answer means for the command that was sent.
 * @param {Answer} answer
 * @param {string} uuid
 * @returns {"done" | "parked" | "sign_in" | "later"}
 */
export function judge(answer, uuid) {
  if (answer === null) return "later";
  const { status, body } = answer;
  if (status >= 200 && status < 300) return body !== null && body?.command_id === uuid ? "done" : "later";
  // Signed in as somebody who cannot pick at all; any other 403 is about this one command.
  if (status === 401 || (status === 403 && body?.code === "role_not_allowed")) return "sign_in";
  if (status === 408 || status === 429 || status < 400 || status >= 500) return "later";
  return "parked";
}

/**
 * Return how long to wait after that many failures in a row, in milliseconds.
 * @param {number} failures
 */
export function waitAfter(failures) {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, failures - 1));
}

/**
 * Return a problem in the form people are shown, whatever the server answered.
 * @param {Answer} answer
 * @returns {Problem}
 */
function problemOf(answer) {
  const body = answer?.body ?? {};
  return {
    title: String(body.title ?? ""),
    detail: String(body.detail ?? ""),
    code: String(body.code ?? "refused"),
    status: answer?.status ?? 0,
  };
}

export class Outbox {
  /**
   * @param {{
   *   store: Store,
   *   send: (entry: Entry) => Promise<Answer>,
   *   owner: string,
   *   now?: () => number,
   *   newId?: () => string,
   *   alone?: (work: () => Promise<void>) => Promise<void>,
   * }} parts  `owner`: who is signed in; `alone` runs work in one tab at a time
   */
  constructor({ store, send, owner, now = Date.now, newId = () => crypto.randomUUID(), alone = (work) => work() }) {
    this.store = store;
    this.send = send;
    this.owner = owner;
    this.now = now;
    this.newId = newId;
    this.alone = alone;
    /** @type {OutboxState} */
    this.state = "idle";
    this.failures = 0;
    /** @type {number | null} */
    this.retryAt = null;
    /** @type {Promise<void> | null} */
    this.running = null;
    this.again = false;
    /** @type {Set<(summary: Summary) => void>} */
    this.listeners = new Set();
  }

  /**
   * Call back on every change, and once with what stands now.
   * @param {(summary: Summary) => void} listener
   */
  async watch(listener) {
    this.listeners.add(listener);
    listener(await this.summary());
  }

  /** @returns {Promise<Summary>} */
  async summary() {
    const entries = (await this.store.all()).sort((a, b) => a.seq - b.seq);
    const unsent = entries.filter((e) => e.state !== "put_away");
    return {
      state: this.state,
      unsent: unsent.length,
      others: unsent.filter((e) => e.owner !== this.owner).length,
      parked: entries.filter((e) => e.state === "parked").length,
      retry_at: this.retryAt,
      entries,
    };
  }

  /**
   * Keep commands, together and in this order; they are safe once this resolves. Sending starts by itself.
   * @param {{uuid?: string, kind: Entry["kind"], payload: any, note?: Record<string, string>}[]} commands
   * @returns {Promise<Entry[]>}
   */
  async keep(commands) {
    /** @type {Entry[]} */
    const kept = [];
    for (const { uuid = this.newId(), kind, payload, note = {} } of commands) {
      kept.push(
        await this.store.add({
          uuid,
          owner: this.owner,
          kind,
          payload,
          note,
          created_at: new Date(this.now()).toISOString(),
          state: "waiting",
          tries: 0,
          problem: null,
        }),
      );
    }
    await this.#tell();
    void this.flush({ force: true });
    return kept;
  }

  /**
   * Send what waits, oldest first. Calls while one is under way share it and make it look once more.
   * @param {{force?: boolean}} [options]  force: do not wait for the back-off to end
   * @returns {Promise<void>}
   */
  flush({ force = false } = {}) {
    if (this.running) {
      this.again = this.again || force;
      return this.running;
    }
    if (!force && this.retryAt !== null && this.now() < this.retryAt) return Promise.resolve();
    this.running = this.alone(() => this.#drain()).finally(() => {
      this.running = null;
    });
    return this.running;
  }

  /**
   * Try a parked command once more, as it is.
   * @param {string} uuid
   */
  async retry(uuid) {
    await this.#change(uuid, (entry) => ({ ...entry, state: "waiting", problem: null }));
    await this.flush({ force: true });
  }

  /**
   * Put a refused command away. It stays in the store and no longer counts as unsent.
   * @param {string} uuid
   */
  async putAway(uuid) {
    await this.#change(uuid, (entry) => (entry.state === "parked" ? { ...entry, state: "put_away" } : entry));
  }

  async #drain() {
    do {
      this.again = false;
      await this.#drainOnce();
    } while (this.again && this.state === "idle");
  }

  async #drainOnce() {
    const mine = (await this.store.all()).filter((e) => e.state === "waiting" && e.owner === this.owner);
    const waiting = mine.sort((a, b) => a.seq - b.seq);
    for (const entry of waiting) {
      this.state = "sending";
      await this.#tell();
      /** @type {Answer} */
      let answer = null;
      try {
        answer = await this.send(entry);
      } catch {
        answer = null;
      }
      const verdict = judge(answer, entry.uuid);
      if (verdict === "done") {
        await this.store.remove(entry.uuid);
        this.failures = 0;
        continue;
      }
      if (verdict === "parked") {
        await this.store.put({ ...entry, state: "parked", tries: entry.tries + 1, problem: problemOf(answer) });
        this.failures = 0;
        continue;
      }
      await this.store.put({ ...entry, tries: entry.tries + 1 });
      if (verdict === "sign_in") {
        this.state = "sign_in";
        this.retryAt = null;
      } else {
        this.failures += 1;
        this.state = "backing_off";
        this.retryAt = this.now() + waitAfter(this.failures);
      }
      await this.#tell();
      return;
    }
    this.state = "idle";
    this.failures = 0;
    this.retryAt = null;
    await this.#tell();
  }

  /**
   * @param {string} uuid
   * @param {(entry: Entry) => Entry} change
   */
  async #change(uuid, change) {
    const entry = (await this.store.all()).find((e) => e.uuid === uuid);
    if (entry) await this.store.put(change(entry));
    await this.#tell();
  }

  async #tell() {
    if (this.listeners.size === 0) return;
    const summary = await this.summary();
    for (const listener of this.listeners) listener(summary);
  }
}
