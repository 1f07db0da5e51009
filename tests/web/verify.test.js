// The browser's verifier on the shared vectors: what Python accepts and refuses, it accepts and refuses.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fromHex, toHex, utf8 } from "../../api/web/shared/static/verify/bytes.js";
import { parseCanonical } from "../../api/web/shared/static/verify/canonical.js";
import { parseLogKey, verifyCheckpoint } from "../../api/web/shared/static/verify/checkpoint.js";
import { chainQuestions, parseProof, readChain, VerificationError, verify } from "../../api/web/shared/static/verify/index.js";
import { sha256, verifyConsistency, verifyInclusion } from "../../api/web/shared/static/verify/merkle.js";
import { sha512 } from "../../api/web/shared/static/vendor/noble-hashes/sha2.js";
import { verify as verifyEd25519 } from "../../api/web/shared/static/vendor/noble-ed25519/index.js";

const cases = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), "ascii"));
const hex = (text) => fromHex(text, "a vector");
const encoder = new TextEncoder();

/** Whether a check passes; any other error than VerificationError fails the test. */
function holds(check) {
  try {
    check();
    return true;
  } catch (error) {
    assert.ok(error instanceof VerificationError, `threw ${error?.stack}`);
    return false;
  }
}

/** Runs one check over a file of vectors and names the cases that come out wrong. */
function agrees(name, check) {
  const wrong = cases(name).filter((item) => holds(() => check(item)) !== item.ok);
  assert.deepEqual(wrong.map((item) => item.description), []);
}

const fileOf = (item) =>
  item.file === undefined ? Uint8Array.from(Buffer.from(item.file_base64, "base64")) : encoder.encode(item.file);
const found = (description) => cases("proof.json").find((item) => item.description === description);

test("inclusion proofs: every vector", () => {
  agrees("inclusion.json", (c) => verifyInclusion(hex(c.leaf), c.index, c.size, c.proof.map(hex), hex(c.root)));
});

test("consistency proofs: every vector", () => {
  agrees("consistency.json", (c) => verifyConsistency(c.size1, c.size2, hex(c.root1), hex(c.root2), c.proof.map(hex)));
});

test("canonical JSON: every vector", () => {
  agrees("canonical.json", (c) => parseCanonical(c.text, "the text"));
});

test("checkpoints: every vector", () => {
  agrees("checkpoint.json", (c) => verifyCheckpoint(c.note, parseLogKey(c.key)));
});

test("proof files: every vector", () => {
  agrees("proof.json", (c) => {
    const verified = verify(fileOf(c), { logKey: c.log_key });
    if (c.entries !== undefined) assert.equal(verified.entries.length, c.entries);
  });
});

test("a verified pack says what was shown and what was not", () => {
  const verified = verify(fileOf(found("the golden pack: its whole history")));
  assert.equal(verified.subject, "https://id.gs1.org/01/09521002001013/21/7K3Q9X2MVD4T");
  assert.deepEqual(verified.shown, ["entries_unchanged", "signed_by_the_log", "all_entries_concern_the_subject"]);
  assert.deepEqual(verified.unshown, [
    "log_key_taken_from_the_file",
    "no_witness_vouches",
    "chain_not_asked",
    "some_entries_newer_than_the_anchor",
    "entries_may_be_left_out",
    "events_are_their_recorders_word",
  ]);
  assert.equal(verified.entries.filter((entry) => !entry.isAnchored).length, 3);
});

test("no byte of a proof file can be changed", () => {
  const good = fileOf(found("a voided code: two entries, anchored"));
  // The three members that only point at the chain are the chain's to check: see the tests below.
  const text = new TextDecoder().decode(good);
  const free = ["block", "chain_id", "contract", "transaction"].map((name) => {
    const at = text.indexOf(`"${name}":`);
    return [at, text.indexOf(",", at) < 0 ? text.indexOf("}", at) : Math.min(text.indexOf(",", at), text.indexOf("}", at))];
  });
  for (let at = 0; at < good.length; at += 3) {
    if (free.some(([from, to]) => at >= from && at <= to)) continue;
    const changed = good.slice();
    changed[at] ^= 1 << (at % 8);
    assert.equal(holds(() => verify(changed)), false, `byte ${at} changed unnoticed`);
  }
});

// --- what a chain answers ---------------------------------------------------------------------------

const PROOF = parseProof(fileOf(found("a voided code: two entries, anchored")));
const ANCHOR = /** @type {any} */ (PROOF.anchor);
const ROOT = Buffer.from(ANCHOR.root, "base64").toString("hex");
const CHAIN_ID = `0x${ANCHOR.chain_id.toString(16)}`;
const word = (value) => BigInt(value).toString(16).padStart(64, "0");
const head = (size, root, block = 17) => `0x${word(size)}${root}${word(block)}`;
const TOPICS = chainQuestions(ANCHOR)[2].params[0].topics;
const log = (changes = {}) => ({ address: ANCHOR.contract, topics: TOPICS, data: `0x${ROOT}${word(0)}`, ...changes });
const OTHER = "11".repeat(32);

test("the questions name the contract, the log and the size", () => {
  const [id, call, logs] = chainQuestions(ANCHOR);
  assert.equal(id.method, "eth_chainId");
  assert.deepEqual(call.params[0], { to: ANCHOR.contract, data: `0xf339e3b2${ANCHOR.log_id.slice(2)}` });
  assert.equal(call.params[1], "latest");
  assert.equal(logs.params[0].topics[2], `0x${word(ANCHOR.size)}`);
});

for (const [description, results, expected] of [
  ["the newest head is the anchored one", [CHAIN_ID, head(ANCHOR.size, ROOT), []], true],
  ["the newest head of that size has another root", [CHAIN_ID, head(ANCHOR.size, OTHER), [log()]], false],
  ["the newest head is smaller", [CHAIN_ID, head(ANCHOR.size - 1, ROOT), [log()]], false],
  ["no head was ever anchored", [CHAIN_ID, head(0, word(0), 0), []], false],
  ["there is no contract", [CHAIN_ID, "0x", []], false],
  ["a newer head, and the event of ours", [CHAIN_ID, head(99, OTHER), [log()]], true],
  ["a newer head, and an event with another root", [CHAIN_ID, head(99, OTHER), [log({ data: `0x${OTHER}` })]], false],
  ["a newer head, and no event", [CHAIN_ID, head(99, OTHER), []], null],
  ["a newer head, and events not asked for", [CHAIN_ID, head(99, OTHER)], null],
  ["a newer head, and another contract's event", [CHAIN_ID, head(99, OTHER), [log({ address: `0x${"22".repeat(20)}` })]], null],
  ["a newer head, and another log's event", [CHAIN_ID, head(99, OTHER), [log({ topics: [TOPICS[0], `0x${OTHER}`, TOPICS[2]] })]], null],
  ["a newer head, and events that are rubbish", [CHAIN_ID, head(99, OTHER), [null, 7, {}, log({ data: 7 }), log({ data: "0x" })]], null],
  ["another chain", ["0x1", head(ANCHOR.size, ROOT), [log()]], null],
  ["no chain id", [undefined, head(ANCHOR.size, ROOT)], null],
  ["an answer cut short", [CHAIN_ID, head(ANCHOR.size, ROOT).slice(0, -2)], null],
  ["an answer that is a number", [CHAIN_ID, 7], null],
  ["an answer that is an error", [CHAIN_ID, { code: -32000 }], null],
  ["nothing", [], null],
]) {
  test(`a chain where ${description}: ${expected}`, () => {
    assert.equal(readChain(ANCHOR, results), expected);
    const file = fileOf(found("a voided code: two entries, anchored"));
    if (expected === false) {
      assert.equal(holds(() => verify(file, { chainResults: results })), false);
    } else {
      const { shown, unshown } = verify(file, { chainResults: results });
      assert.equal(shown.includes("anchored_on_the_chain"), expected === true);
      assert.equal(unshown.includes("chain_not_asked"), expected !== true);
    }
  });
}

test("an anchor in another contract than the one expected is refused", () => {
  const file = fileOf(found("a voided code: two entries, anchored"));
  const here = { chainId: ANCHOR.chain_id, address: ANCHOR.contract.toUpperCase().replace("0X", "0x") };
  assert.ok(verify(file, { contract: here }));
  assert.equal(holds(() => verify(file, { contract: { ...here, chainId: 1 } })), false);
  assert.equal(holds(() => verify(file, { contract: { ...here, address: `0x${"22".repeat(20)}` } })), false);
});

test("anything that is not a file is refused", () => {
  for (const input of [undefined, null, "text", 7, {}, [], new ArrayBuffer(3)]) {
    assert.equal(holds(() => verify(/** @type {any} */ (input))), false);
  }
});

test("the vendored hashes and curve give the known answers", () => {
  assert.equal(toHex(sha256(utf8("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.equal(toHex(sha512(utf8("abc"))).slice(0, 32), "ddaf35a193617abacc417349ae204131");
  // RFC 8032, 7.1, test 2
  const key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const signature = hex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
  assert.equal(verifyEd25519(signature, hex("72"), key, { zip215: false }), true);
  assert.equal(verifyEd25519(signature, hex("73"), key, { zip215: false }), false);
});
