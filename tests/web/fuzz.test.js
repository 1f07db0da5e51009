// No input makes the JavaScript verifier crash, hang or accept: seeded changes to good files, and files made to be slow.
import assert from "node:assert/strict";
import { test } from "node:test";

import { utf8 } from "../../api/web/shared/static/verify/bytes.js";
import { parseLogKey } from "../../api/web/shared/static/verify/checkpoint.js";
import { VerificationError, verify } from "../../api/web/shared/static/verify/index.js";
import { reach } from "../../api/web/shared/static/verify/lineage.js";
import { PolicyError, parsePolicy } from "../../api/web/shared/static/verify/policy.js";
import { verifyEntry } from "../../api/web/shared/static/verify/tlog_proof.js";
import { cases, filesOf, numbers } from "./vectors.js";

const PROOFS = filesOf(cases("proof.json"));
const TLOGS = filesOf(cases("tlog_proof.json"));
const COSIGNED = cases("proof.json").find((c) => c.description === "cosigned by two witnesses, both demanded");
const POLICY = parsePolicy(utf8(COSIGNED.policy));
const CARRIED = TLOGS.get("an entry, carried, cosigned by two witnesses");
const MANY = 800;
const WORDS = [
  '"', "{", "}", "[", "]", ",", ":", "\n", "\n\n", "0", "-1", "1e999", "null", "true", "__proto__", "\u2014 ", "\u0000", "\ud7ff",
  "https://id.gs1.org/01/09521002001013/21/E4GM7S1QWX8V", "AAAA", "=", "+", "9007199254740993", "\\ud800", "\\u0000", "\u202e", " ",
];

/** One change to some bytes, chosen by the numbers. */
function changed(good, random) {
  const bytes = Buffer.from(good);
  const [at, length] = [random(bytes.length), 1 + random(40)];
  const rest = bytes.subarray(Math.min(at + length, bytes.length));
  switch (random(6)) {
    case 0:
      bytes[at] ^= 1 << random(8);
      return bytes;
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), rest]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(bytes.length)), rest]);
    case 4:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(WORDS[random(WORDS.length)]), bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(Array.from({ length }, () => random(256))), rest]);
  }
}

/** Whether it refuses; any other error than the verifier's own fails the test. */
function refuses(check, Kind = VerificationError) {
  try {
    check();
    return false;
  } catch (error) {
    assert.ok(error instanceof Kind, error?.stack);
    return true;
  }
}

test("changed histories are refused", () => {
  const random = numbers(7);
  const good = PROOFS.get(COSIGNED.description);
  const text = new TextDecoder().decode(good);
  const { anchor } = JSON.parse(text);
  for (let i = 0; i < MANY; i++) {
    const bytes = new Uint8Array(changed(good, random));
    if (refuses(() => verify(bytes, { policy: POLICY }))) continue;
    // What only says where to look in a chain is the chain's to judge, and hex has two cases; nothing else passes.
    const other = JSON.parse(new TextDecoder().decode(bytes));
    for (const name of ["block", "chain_id", "contract", "transaction"]) other.anchor[name] = anchor[name];
    assert.equal(JSON.stringify(other), text, `change ${i} passed`);
  }
});

test("changed tlog-proofs are refused", () => {
  const random = numbers(11);
  for (let i = 0; i < MANY; i++) {
    const bytes = new Uint8Array(changed(CARRIED, random));
    const isSame = Buffer.compare(bytes, CARRIED) === 0;
    assert.equal(refuses(() => verifyEntry(bytes, { policy: POLICY })), !isSame, `change ${i} passed`);
  }
});

test("changed policies are read or refused, and never weaker by being cut", () => {
  const random = numbers(13);
  const good = utf8(COSIGNED.policy);
  const { checkpoint } = JSON.parse(new TextDecoder().decode(PROOFS.get("a voided code: two entries, anchored")));
  const key = parseLogKey(JSON.parse(new TextDecoder().decode(PROOFS.get(COSIGNED.description))).key);
  for (let i = 0; i < MANY; i++) {
    const bytes = new Uint8Array(changed(good, random));
    let policy;
    if (!refuses(() => (policy = parsePolicy(bytes)), PolicyError)) refuses(() => policy.check(checkpoint, key));
  }
  for (let at = 0; at < good.length; at++) assert.ok(refuses(() => parsePolicy(good.slice(0, at)), PolicyError));
});

/** Milliseconds of processor time that some work takes: a busy machine does not count. */
function cost(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const BASE = JSON.parse(new TextDecoder().decode(PROOFS.get("a voided code: two entries, anchored")));
const sorted = (proof) => JSON.stringify(Object.fromEntries(Object.entries(proof).sort(([a], [b]) => (a < b ? -1 : 1))));
const HASH = BASE.hashes[0];
const name = (i) => `ni:///sha-256;${String(i).padStart(43, "A")}`;

for (const [description, make] of [
  ["16 MiB of nothing", () => new Uint8Array(16 * 2 ** 20)],
  ["16 MiB of brackets", () => Buffer.alloc(16 * 2 ** 20, "[")],
  ["16 MiB of quotation marks", () => Buffer.alloc(16 * 2 ** 20, '"')],
  ["16 MiB of digits", () => Buffer.alloc(16 * 2 ** 20, "7")],
  ["16 MiB of newlines under the first line of a tlog-proof", () => Buffer.from(`c2sp.org/tlog-proof@v1\n${"\n".repeat(2 ** 19)}`)],
  ["a million repeated keys", () => utf8(`{${'"a":1,'.repeat(10 ** 6)}"a":1}`)],
  ["5,000 entries that share all their hashes", () => utf8(sorted({
    ...BASE,
    entries: Array.from({ length: 5000 }, (_, index) => ({ data: "{}", index, path: Array.from({ length: 128 }, (_, i) => i % 5) })),
  }))],
  ["200,000 hashes that nothing uses", () => utf8(sorted({ ...BASE, hashes: Array(200_000).fill(HASH) }))],
  ["5,000 pieces of evidence, none of them there", () => utf8(sorted({ ...BASE, evidence: Array.from({ length: 5000 }, (_, i) => name(i)) }))],
  ["5,000 private fields nobody committed to", () => utf8(sorted({ ...BASE, disclosures: Array.from({ length: 5000 }, (_, i) => `${i}`) }))],
  ["an entry of 16 MiB", () => utf8(sorted({ ...BASE, entries: [{ ...BASE.entries[0], data: "x".repeat(16_000_000) }] }))],
  ["a checkpoint of a hundred thousand signatures", () => utf8(sorted({ ...BASE, checkpoint: `${BASE.checkpoint}${"\u2014 n AAAAAAAA\n".repeat(100_000)}` }))],
]) {
  test(`${description} is refused at once`, () => {
    const bytes = new Uint8Array(make());
    const ms = cost(() => {
      assert.ok(refuses(() => verify(bytes, { policy: POLICY })));
      assert.ok(refuses(() => verifyEntry(bytes, { policy: POLICY })));
    });
    assert.ok(ms < 15_000, `it took ${ms} ms`);
  });
}

test("forty events that turn the same 500 things into each other are followed at once", () => {
  const things = Array.from({ length: 500 }, (_, i) => `https://id.gs1.org/01/09521002001013/21/${i}`);
  const events = Array.from({ length: 40 }, (_, i) => ({
    type: "TransformationEvent",
    eventID: `urn:uuid:${i}`,
    eventTime: "2026-04-18T00:00:00.000Z",
    inputEPCList: things,
    outputEPCList: things,
  }));
  const ms = cost(() => assert.equal(reach(things[0], events).size, 40));
  assert.ok(ms < 15_000, `it took ${ms} ms`);
});
