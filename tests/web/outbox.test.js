// The outbox keeps its promises: nothing unacknowledged is lost, everything is sent in order, once as far as the server can tell.
import assert from "node:assert/strict";
import { test } from "node:test";

import { FIRST_WAIT_MS, LONGEST_WAIT_MS, Outbox, judge, waitAfter } from "../../api/web/farmer/static/outbox.js";

class MemoryStore {
  entries = new Map();
  seq = 0;
  async all() {
    return [...this.entries.values()].map((e) => structuredClone(e));
  }
  async add(entry) {
    const kept = { ...structuredClone(entry), seq: ++this.seq };
    this.entries.set(kept.uuid, kept);
    return structuredClone(kept);
  }
  async put(entry) {
    assert.ok(this.entries.has(entry.uuid), "only what was kept is changed");
    this.entries.set(entry.uuid, structuredClone(entry));
  }
  async remove(uuid) {
    this.entries.delete(uuid);
  }
}

/** A server that remembers commands by uuid, with a line that may fail before or after it has acted. */
class Field {
  taken = new Map();
  order = [];
  line = () => "ok";
  async send(entry) {
    const what = this.line(entry, this.order.length);
    if (what === "lost_before") throw new TypeError("Failed to fetch");
    if (typeof what === "object") return what;
    if (!this.taken.has(entry.uuid)) this.order.push(entry.uuid);
    this.taken.set(entry.uuid, (this.taken.get(entry.uuid) ?? 0) + 1);
    if (what === "lost_after") throw new TypeError("Failed to fetch");
    return { status: 201, body: { command_id: entry.uuid } };
  }
}

function setUp() {
  const store = new MemoryStore();
  const field = new Field();
  let time = Date.parse("2026-04-18T03:05:00Z");
  const clock = { now: () => time, pass: (ms) => (time += ms) };
  let n = 0;
  const newId = () => `00000000-0000-4000-8000-${String(++n).padStart(12, "0")}`;
  const outbox = new Outbox({ store, send: (e) => field.send(e), now: clock.now, newId, owner: "farmer-1" });
  return { store, field, clock, outbox };
}

const pick = (mass_g) => ({ kind: "pick", payload: { mass_g } });

test("what is kept is sent in the order it was made, then removed", async () => {
  const { outbox, field, store } = setUp();
  const kept = await outbox.keep([pick(1), pick(2), pick(3)]);
  await outbox.flush();
  assert.deepEqual(field.order, kept.map((e) => e.uuid));
  assert.equal((await store.all()).length, 0);
  assert.equal((await outbox.summary()).state, "idle");
});

test("a command is in the store before the first attempt to send it", async () => {
  const { outbox, field, store } = setUp();
  let seen = -1;
  field.line = () => ((seen = store.entries.size), "ok");
  await outbox.keep([pick(1)]);
  await outbox.flush();
  assert.equal(seen, 1);
});

test("without a line nothing is removed, and the wait doubles from 5 s to 5 min", async () => {
  const { outbox, field, clock } = setUp();
  field.line = () => "lost_before";
  await outbox.keep([pick(1), pick(2)]);
  await outbox.flush();
  let summary = await outbox.summary();
  assert.deepEqual([summary.state, summary.unsent, summary.entries[0].tries, summary.entries[1].tries], ["backing_off", 2, 1, 0]);
  await outbox.flush();
  assert.equal((await outbox.summary()).entries[0].tries, 1, "not before the wait is over");
  clock.pass(FIRST_WAIT_MS);
  await outbox.flush();
  assert.equal((await outbox.summary()).entries[0].tries, 2);
  assert.deepEqual([1, 2, 3, 7, 40].map(waitAfter), [5_000, 10_000, 20_000, LONGEST_WAIT_MS, LONGEST_WAIT_MS]);
});

test("an answer lost on the way back is sent again under the same uuid", async () => {
  const { outbox, field, clock } = setUp();
  let first = true;
  field.line = () => (first ? ((first = false), "lost_after") : "ok");
  const [entry] = await outbox.keep([pick(1)]);
  await outbox.flush();
  assert.equal((await outbox.summary()).unsent, 1);
  clock.pass(FIRST_WAIT_MS);
  await outbox.flush();
  assert.deepEqual([field.order, field.taken.get(entry.uuid)], [[entry.uuid], 2]);
  assert.equal((await outbox.summary()).unsent, 0);
});

test("a 200 that does not repeat the uuid removes nothing", async () => {
  const { outbox, field } = setUp();
  for (const body of [null, "<html>Welcome to the hotel</html>", {}, { command_id: "another" }]) {
    field.line = () => ({ status: 200, body });
    await outbox.keep([pick(1)]);
    await outbox.flush({ force: true });
  }
  assert.equal((await outbox.summary()).unsent, 4);
  assert.equal(judge({ status: 302, body: null }, "x"), "later");
});

test("409 and 422 park that one command, visibly, and the rest goes on", async () => {
  const { outbox, field } = setUp();
  field.line = (entry) =>
    entry.payload.mass_g === 2 ? { status: 409, body: { title: "Crate is full", detail: "C-0417", code: "crate_used" } } : "ok";
  await outbox.keep([pick(1), pick(2), pick(3)]);
  await outbox.flush();
  const summary = await outbox.summary();
  assert.deepEqual([summary.unsent, summary.parked, field.order.length, summary.state], [1, 1, 2, "idle"]);
  assert.deepEqual(summary.entries[0].problem, { title: "Crate is full", detail: "C-0417", code: "crate_used", status: 409 });
  field.line = () => "ok";
  await outbox.retry(summary.entries[0].uuid);
  assert.equal((await outbox.summary()).unsent, 0);
});

test("401 keeps the whole queue and asks to sign in; signing in sends it", async () => {
  const { outbox, field } = setUp();
  field.line = () => ({ status: 401, body: { code: "not_signed_in" } });
  await outbox.keep([pick(1), pick(2)]);
  await outbox.flush();
  let summary = await outbox.summary();
  assert.deepEqual([summary.state, summary.unsent, summary.entries[1].tries], ["sign_in", 2, 0]);
  field.line = () => "ok";
  await outbox.flush({ force: true });
  summary = await outbox.summary();
  assert.deepEqual([summary.state, summary.unsent, field.order.length], ["idle", 0, 2]);
});

test("403 asks to sign in only where the whole role is wrong; about one order it parks that one", () => {
  assert.equal(judge({ status: 403, body: { code: "role_not_allowed" } }, "x"), "sign_in");
  assert.equal(judge({ status: 403, body: { code: "not_your_plot" } }, "x"), "parked");
});

test("another person's commands stay for her and are not sent under this name", async () => {
  const { outbox, field, store } = setUp();
  field.line = () => "lost_before";
  await outbox.keep([pick(1)]);
  await outbox.flush();
  field.line = () => "ok";
  const hers = new Outbox({ store, send: (e) => field.send(e), owner: "farmer-2" });
  await hers.keep([pick(2)]);
  while (hers.running) await hers.running;
  const summary = await hers.summary();
  assert.deepEqual([field.order.length, summary.unsent, summary.others], [1, 1, 1]);
  await outbox.flush({ force: true });
  assert.equal((await outbox.summary()).unsent, 0);
});

test("a refused command that is put away stays in the store and stops counting", async () => {
  const { outbox, field, store } = setUp();
  field.line = () => ({ status: 422, body: {} });
  const [entry] = await outbox.keep([pick(1)]);
  await outbox.flush();
  await outbox.putAway(entry.uuid);
  assert.equal((await outbox.summary()).unsent, 0);
  assert.equal((await store.all())[0].state, "put_away");
});

test("only a refused command can be put away: what still waits cannot be lost by a tap", async () => {
  const { outbox, field } = setUp();
  field.line = () => "lost_before";
  const [entry] = await outbox.keep([pick(1)]);
  await outbox.flush();
  await outbox.putAway(entry.uuid);
  assert.equal((await outbox.summary()).unsent, 1);
});

test("what is kept while sending is under way is sent by the same run", async () => {
  const { outbox, field } = setUp();
  let more = true;
  field.line = () => {
    if (more) {
      more = false;
      void outbox.keep([pick(2)]);
    }
    return "ok";
  };
  await outbox.keep([pick(1)]);
  while (outbox.running) await outbox.running;
  assert.equal(field.order.length, 2);
  assert.equal((await outbox.summary()).unsent, 0);
});

test("whatever the line does, nothing is lost and the server sees the order of making", async () => {
  // A small deterministic generator: 300 days of bad luck.
  let seed = 20260418;
  const random = (n) => ((seed = (seed * 1103515245 + 12345) % 2147483648), seed % n);
  for (let day = 0; day < 300; day++) {
    const { outbox, field, clock } = setUp();
    const made = [];
    for (let step = 0; step < 12; step++) {
      const luck = random(6);
      field.line = () => [{ status: 503, body: null }, "lost_before", "lost_after", "ok", { status: 401, body: {} }, { status: 200, body: null }][luck];
      if (random(2)) made.push(...(await outbox.keep([pick(step)])));
      clock.pass(random(400_000));
      await outbox.flush();
      while (outbox.running) await outbox.running;
      const still = (await outbox.summary()).entries.map((e) => e.uuid);
      for (const entry of made) assert.ok(still.includes(entry.uuid) || field.taken.has(entry.uuid), "kept or taken");
    }
    field.line = () => "ok";
    await outbox.flush({ force: true });
    while (outbox.running) await outbox.running;
    assert.deepEqual(field.order, made.map((e) => e.uuid));
    assert.equal((await outbox.summary()).unsent, 0);
  }
});
