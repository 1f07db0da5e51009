// The JavaScript verifier on the shared vectors: what Python accepts and refuses, it accepts and refuses.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fromHex, toHex, utf8 } from "../../api/web/shared/static/verify/bytes.js";
import { parseCanonical } from "../../api/web/shared/static/verify/canonical.js";
import { parseLogKey, verifyCheckpoint } from "../../api/web/shared/static/verify/checkpoint.js";
import { cosignatures, parseWitnessKey } from "../../api/web/shared/static/verify/cosign.js";
import { codeQuestion, isAnchorLog } from "../../api/web/shared/static/verify/code.js";
import { chainQuestions, parseProof, readChain, VerificationError, verify } from "../../api/web/shared/static/verify/index.js";
import { sha256, verifyConsistency, verifyInclusion } from "../../api/web/shared/static/verify/merkle.js";
import { PolicyError, parsePolicy } from "../../api/web/shared/static/verify/policy.js";
import { verifyEntry } from "../../api/web/shared/static/verify/tlog_proof.js";
import { sha512 } from "../../api/web/shared/static/vendor/noble-hashes/sha2.js";
import { verify as verifyEd25519 } from "../../api/web/shared/static/vendor/noble-ed25519/index.js";
import { cases, filesOf, textOf } from "./vectors.js";

const hex = (text) => fromHex(text, "a vector");
const PROOFS = filesOf(cases("proof.json"));
const policyOf = (text) => (text === undefined ? undefined : parsePolicy(utf8(text)));

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

const file = (description) => PROOFS.get(description) ?? assert.fail(description);

test("inclusion proofs: every vector", () => {
  agrees("inclusion.json", (c) => verifyInclusion(hex(c.leaf), c.index, c.size, c.proof.map(hex), hex(c.root)));
});

test("consistency proofs: every vector", () => {
  agrees("consistency.json", (c) => verifyConsistency(c.size1, c.size2, hex(c.root1), hex(c.root2), c.proof.map(hex)));
});

test("canonical JSON: every vector", () => {
  agrees("canonical.json", (c) => parseCanonical(textOf(c.text), "the text"));
});

test("checkpoints: every vector", () => {
  agrees("checkpoint.json", (c) => verifyCheckpoint(textOf(c.note), parseLogKey(c.key)));
});

test("proof files: every vector", () => {
  agrees("proof.json", (c) => {
    const verified = verify(file(c.description), { logKey: c.log_key, policy: policyOf(c.policy) });
    if (c.entries !== undefined) assert.equal(verified.entries.length, c.entries);
    if (c.witnesses !== undefined) assert.equal(verified.cosignatures.length, c.witnesses);
  });
});

test("cosignatures: every vector, and the times found", () => {
  agrees("cosignature.json", (c) => {
    const keys = c.keys.map(parseWitnessKey);
    const found = new Map(cosignatures(c.note, keys).map(({ key, timeS }) => [key, timeS]));
    assert.deepEqual(keys.map(({ text }) => found.get(text) ?? null), c.times);
  });
});

test("policies: every vector, and the line that is wrong", () => {
  for (const c of cases("policy.json")) {
    const bytes = c.policy === undefined ? new Uint8Array(Buffer.from(c.policy_base64, "base64")) : utf8(c.policy);
    let policy;
    try {
      policy = parsePolicy(bytes);
    } catch (error) {
      assert.ok(error instanceof PolicyError, error.stack);
      assert.equal(error.line, c.line, c.description);
      continue;
    }
    assert.equal(c.line, undefined, c.description);
    const key = c.log_key === undefined ? undefined : parseLogKey(c.log_key);
    assert.equal(holds(() => policy.check(c.note, key)), c.ok, c.description);
  }
});

test("tlog-proof files: every vector", () => {
  const files = filesOf(cases("tlog_proof.json"));
  agrees("tlog_proof.json", (c) => {
    const entry = c.entry === undefined ? undefined : utf8(c.entry);
    verifyEntry(files.get(c.description), { entry, logKey: c.log_key ?? undefined, policy: policyOf(c.policy) });
  });
});

test("a verified pack says what was shown and what was not", () => {
  const verified = verify(file("the golden pack: its whole history"));
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
  const good = file("a voided code: two entries, anchored");
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

const PROOF = parseProof(file("a voided code: two entries, anchored"));
const ANCHOR = /** @type {any} */ (PROOF.anchor);
const [TRUTH, ...CHAINS] = cases("chain.json");

function answersOf(c) {
  const answers = { ...TRUTH.answers, ...c.changes };
  for (const method of c.without ?? []) delete answers[method];
  return answers;
}

/** What a stranger who does not know the contract makes of a door's answers. */
function told(anchor, answers) {
  const results = chainQuestions(anchor).map(({ method }) => answers[method]);
  const code = answers[codeQuestion(anchor).method];
  if (code === "0x") return { results: [results[0], code], isTrusted: true };
  return { results, isTrusted: isAnchorLog(code) };
}

test("the questions name the contract, the log and the size", () => {
  const [id, call, logs] = chainQuestions(ANCHOR);
  assert.equal(id.method, "eth_chainId");
  assert.deepEqual(call.params[0], { to: ANCHOR.contract, data: `0xf339e3b2${ANCHOR.log_id.slice(2)}` });
  assert.equal(call.params[1], "latest");
  assert.equal(logs.params[0].topics[2], `0x${ANCHOR.size.toString(16).padStart(64, "0")}`);
  assert.deepEqual(codeQuestion(ANCHOR).params, [ANCHOR.contract, "latest"]);
});

test("chains that answer, lie, and talk rubbish: every vector", () => {
  for (const c of [TRUTH, ...CHAINS]) {
    const { results, isTrusted } = told(TRUTH.anchor, answersOf(c));
    assert.equal(isTrusted ? readChain(TRUTH.anchor, results) : null, c.answer, c.description);
  }
});

test("what a file makes of them: refuted, confirmed, or said not to be", () => {
  const data = file("a voided code: two entries, anchored");
  const rootOf = (anchor) => Buffer.from(anchor.root, "base64").toString("hex");
  for (const c of [TRUTH, ...CHAINS]) {
    // The file's own anchor has another root than the vectors' leaves.
    const answers = JSON.parse(JSON.stringify(answersOf(c)).replaceAll(rootOf(TRUTH.anchor), rootOf(ANCHOR)));
    const { results, isTrusted } = told(ANCHOR, answers);
    const contract = isTrusted ? { chainId: ANCHOR.chain_id, address: ANCHOR.contract } : undefined;
    if (c.answer === false) {
      assert.equal(holds(() => verify(data, { chainResults: results, contract })), false, c.description);
    } else {
      const { shown, unshown } = verify(data, { chainResults: results, contract });
      assert.equal(shown.includes("anchored_on_the_chain"), c.answer === true, c.description);
      assert.equal(unshown.includes("chain_not_asked"), c.answer !== true, c.description);
    }
  }
});

test("a contract that nobody vouches for confirms nothing", () => {
  const { results } = told(TRUTH.anchor, TRUTH.answers);
  const { unshown } = verify(file("a voided code: two entries, anchored"), { chainResults: results });
  assert.ok(unshown.includes("chain_not_asked"));
});

test("an anchor in another contract than the one expected is refused", () => {
  const data = file("a voided code: two entries, anchored");
  const here = { chainId: ANCHOR.chain_id, address: ANCHOR.contract.toUpperCase().replace("0X", "0x") };
  assert.ok(verify(data, { contract: here }));
  assert.equal(holds(() => verify(data, { contract: { ...here, chainId: 1 } })), false);
  assert.equal(holds(() => verify(data, { contract: { ...here, address: `0x${"22".repeat(20)}` } })), false);
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
