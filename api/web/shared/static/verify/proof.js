// Verifies an offline proof file `guoyuan-proof@1`: ledger/docs/format.md. The same checks as ledger/proof.py.
import { fromBase64, fromBase64Url, fromUtf8, isWellFormed, toBase64Url, toHex, utf8 } from "./bytes.js";
import { parseCanonical } from "./canonical.js";
import { readChain } from "./chain.js";
import { parseLogKey, verifyCheckpoint } from "./checkpoint.js";
import { demand, VerificationError } from "./errors.js";
import { reach } from "./lineage.js";
import { leafHash, sha256, verifyConsistency, verifyInclusion } from "./merkle.js";

const FORMAT = "guoyuan-proof@1";
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_ENTRIES = 5000;
const MAX_ENTRY_BYTES = 65535;
const MAX_HASHES = 200_000;
const MEMBERS = "anchor,checkpoint,disclosures,entries,evidence,format,hashes,key,subject";
const ANCHOR_MEMBERS = "block,chain_id,consistency,contract,log_id,root,size,transaction";
const HASH = /^[A-Za-z0-9+/]{43}=$/;
const NAMED = /"(ni:\/\/\/sha-256;[A-Za-z0-9_-]{43})(?=")/g;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * @typedef {import("./chain.js").Anchor} Anchor
 * @typedef {{ data: string, index: number, path: number[] }} ProvedEntry
 * @typedef {{ anchor: Anchor | null, checkpoint: string, disclosures: string[], entries: ProvedEntry[],
 *   evidence: string[], format: string, hashes: string[], key: string, subject: string }} Proof
 * @typedef {{ name: string, value: string | number | string[] }} Opened
 * @typedef {{ index: number, eventId: string, event: Record<string, any>, isAnchored: boolean }} VerifiedEntry
 * @typedef {import("./cosign.js").Cosignature} Cosignature
 * @typedef {{ subject: string, origin: string, key: string, size: number, root: string,
 *   cosignatures: Cosignature[], entries: VerifiedEntry[], opened: Opened[], anchor: Anchor | null, shown: string[],
 *   unshown: string[] }} Verified
 * @typedef {{ logKey?: string, policy?: import("./policy.js").Policy,
 *   contract?: { chainId: number, address: string }, chainResults?: unknown[] }} Options
 */

/**
 * The proof in a file's bytes, well formed but not verified. Throws VerificationError.
 * @param {Uint8Array} bytes
 * @returns {Proof}
 */
export function parseProof(bytes) {
  demand(bytes.length <= MAX_FILE_BYTES, `the file is ${bytes.length} bytes; a proof has at most ${MAX_FILE_BYTES}`);
  const proof = /** @type {any} */ (parseCanonical(fromUtf8(bytes, "the file"), "the file"));
  demand(isObject(proof) && proof.format === FORMAT, `the file is not a ${FORMAT}`);
  demand(Object.keys(proof).join() === MEMBERS, "the file has other members than a proof");
  for (const name of ["checkpoint", "key", "subject"]) demand(typeof proof[name] === "string", `${name} is not text`);
  const characters = [...proof.subject].length;
  demand(characters >= 1 && characters <= 2048, "the subject is not 1 to 2,048 characters");
  demandTexts(proof.hashes, MAX_HASHES, HASH, "hashes");
  // biome-ignore lint/correctness/noEmptyCharacterClassInRegex: [^] is any character at all, line breaks too
  demandTexts(proof.disclosures, MAX_ENTRIES, /^[^]{0,65535}$/, "disclosures");
  demandTexts(proof.evidence, MAX_ENTRIES, /^ni:\/\/\/sha-256;[A-Za-z0-9_-]{43}$/, "evidence");
  const { entries } = proof;
  demand(
    Array.isArray(entries) && entries.length >= 1 && entries.length <= MAX_ENTRIES,
    `a proof has 1 to ${MAX_ENTRIES} entries`,
  );
  for (const entry of entries) {
    demand(isObject(entry) && Object.keys(entry).join() === "data,index,path", "an entry has other members");
    demand(typeof entry.data === "string" && entry.data.length >= 2, "an entry's data is not text");
    demand(isWhole(entry.index), "an entry's index is not a whole number");
    demandPath(entry.path);
  }
  if (proof.anchor !== null) demandAnchor(proof.anchor);
  return proof;
}

/**
 * What a proof file shows. Throws VerificationError, and nothing else, when it does not hold.
 * @param {Uint8Array} bytes
 * @param {Options} [options]
 *   `logKey`: the log's key, if you have it from elsewhere. `policy`: whose signatures you demand (`parsePolicy`).
 *   `contract`: the one you expect. `chainResults`: the results of `chainQuestions(anchor)` from a chain you trust; they
 *   count for a `contract` you trust alone (`isAnchorLog`), because another one could say anything.
 * @returns {Verified}
 */
export function verify(bytes, options = {}) {
  try {
    return check(bytes, options);
  } catch (error) {
    if (error instanceof VerificationError) throw error;
    // A stack that ran out, memory that ran out: still an answer, and never a crash of the page.
    throw new VerificationError(`the proof cannot be read: ${error instanceof Error ? error.message : error}`, error);
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {Options} options
 * @returns {Verified}
 */
function check(bytes, { logKey, policy, contract, chainResults }) {
  const proof = parseProof(bytes);
  const key = parseLogKey(proof.key);
  demand(logKey === undefined || logKey === key.text, `the proof is of the log key ${key.text}, not of ${logKey}`);
  const head = verifyCheckpoint(proof.checkpoint, key);
  const cosignatures = policy?.check(proof.checkpoint, key).cosignatures ?? [];
  const hashes = new Hashes(proof.hashes);
  const events = verifyEntries(proof.entries, head, hashes);
  const reached = reach(proof.subject, events);
  proof.entries.forEach((entry, position) => {
    demand(reached.has(position), `entry ${entry.index} has nothing to do with ${proof.subject}`);
  });
  const opened = verifyDisclosures(proof.disclosures, events);
  verifyEvidence(proof);
  const isConfirmed = verifyAnchor(proof.anchor, head, hashes, contract, chainResults);
  hashes.refuseUnused();
  const anchoredSize = proof.anchor?.size ?? 0;
  return {
    subject: proof.subject,
    origin: head.origin,
    key: key.text,
    size: head.size,
    root: toHex(head.root),
    cosignatures,
    entries: proof.entries.map(({ index }, position) => ({
      index,
      eventId: events[position].eventID,
      event: events[position],
      isAnchored: index < anchoredSize,
    })),
    opened,
    anchor: proof.anchor,
    shown: [
      "entries_unchanged",
      "signed_by_the_log",
      ...(cosignatures.length > 0 ? ["cosigned_by_witnesses"] : []),
      "all_entries_concern_the_subject",
      ...(isConfirmed ? ["anchored_on_the_chain"] : []),
      ...(opened.length > 0 ? ["private_fields_match"] : []),
    ],
    unshown: unshown(proof, {
      isKeyGiven: logKey !== undefined || (policy?.logs.length ?? 0) > 0,
      isWitnessed: cosignatures.length > 0,
      isConfirmed,
    }),
  };
}

/** The file's list of hashes, which remembers what was used. */
class Hashes {
  /** @param {string[]} texts */
  constructor(texts) {
    this.hashes = texts.map((text) => fromBase64(text, "a hash"));
    /** @type {Set<number>} */
    this.used = new Set();
  }

  /**
   * @param {number[]} positions
   * @returns {Uint8Array[]}
   */
  path(positions) {
    return positions.map((position) => {
      demand(position < this.hashes.length, `a path points at hash ${position}; the file has ${this.hashes.length}`);
      this.used.add(position);
      return this.hashes[position];
    });
  }

  refuseUnused() {
    const unused = this.hashes.length - this.used.size;
    demand(unused === 0, `${unused} hashes of the file are used by nothing`);
  }
}

/**
 * @param {ProvedEntry[]} entries
 * @param {import("./checkpoint.js").TreeHead} head
 * @param {Hashes} hashes
 * @returns {Record<string, any>[]}
 */
function verifyEntries(entries, head, hashes) {
  let last = -1;
  return entries.map(({ data, index, path }) => {
    demand(index > last, `entry ${index} does not come after entry ${last}`);
    last = index;
    const raw = utf8(data);
    demand(raw.length <= MAX_ENTRY_BYTES, `entry ${index} is ${raw.length} bytes long`);
    verifyInclusion(leafHash(raw), index, head.size, hashes.path(path), head.root);
    const event = /** @type {any} */ (parseCanonical(data, `entry ${index}`));
    const isEvent =
      isObject(event) &&
      typeof event.type === "string" &&
      typeof event.eventID === "string" &&
      typeof event.eventTime === "string" &&
      TIME.test(event.eventTime);
    demand(isEvent, `entry ${index} is not an event`);
    return event;
  });
}

/**
 * @param {string[]} disclosures
 * @param {Record<string, any>[]} events
 * @returns {Opened[]}
 */
function verifyDisclosures(disclosures, events) {
  demand(new Set(disclosures).size === disclosures.length, "a private field is opened twice");
  const committed = new Set(events.flatMap((event) => (Array.isArray(event["gy:digests"]) ? event["gy:digests"] : [])));
  return disclosures.map((disclosure) => {
    const field = openDisclosure(disclosure);
    const digest = toBase64Url(sha256(utf8(disclosure)));
    demand(committed.has(digest), `the private field "${field.name.slice(0, 80)}" stands in no entry of the file`);
    return field;
  });
}

/**
 * The field inside a disclosure: base64url of the JSON text [salt, name, value].
 * @param {string} disclosure
 * @returns {Opened}
 */
export function openDisclosure(disclosure) {
  let parts;
  try {
    parts = JSON.parse(fromUtf8(fromBase64Url(disclosure, "a disclosure"), "a disclosure"));
  } catch (error) {
    throw new VerificationError("a disclosure is not base64url of a JSON text", error);
  }
  demand(
    Array.isArray(parts) && parts.length === 3 && isText(parts[0]) && isText(parts[1]),
    "a disclosure is not [salt, name, value]",
  );
  const [salt, name, value] = parts;
  const isValue = Array.isArray(value) ? value.every(isText) : isText(value) || Number.isSafeInteger(value);
  demand(isValue, `the value of "${name.slice(0, 40)}" is not a text, a whole number or a list of texts`);
  demand([...salt].length >= 22, `the disclosure of "${name.slice(0, 40)}" has a salt of less than 128 bits`);
  return { name, value };
}

/** @param {unknown} part */
function isText(part) {
  return typeof part === "string" && isWellFormed(part);
}

/** @param {Proof} proof */
function verifyEvidence({ evidence, entries }) {
  demand(new Set(evidence).size === evidence.length, "a piece of evidence is listed twice");
  const named = new Set();
  // In canonical JSON an ni name is written as it is, between quotation marks.
  if (evidence.length > 0) for (const { data } of entries) for (const [, name] of data.matchAll(NAMED)) named.add(name);
  for (const name of evidence) demand(named.has(name), `the evidence ${name} stands in no entry of the file`);
}

/**
 * Checks an anchor against the checkpoint; returns whether a chain confirmed it.
 * @param {Anchor | null} anchor
 * @param {import("./checkpoint.js").TreeHead} head
 * @param {Hashes} hashes
 * @param {{ chainId: number, address: string } | undefined} contract
 * @param {unknown[] | undefined} chainResults
 * @returns {boolean}
 */
function verifyAnchor(anchor, head, hashes, contract, chainResults) {
  if (anchor === null) return false;
  demand(
    anchor.log_id === `0x${toHex(sha256(utf8(head.origin)))}`,
    `the anchor's log id is not that of "${head.origin}"`,
  );
  const root = fromBase64(anchor.root, "the anchor's root");
  verifyConsistency(anchor.size, head.size, root, head.root, hashes.path(anchor.consistency));
  if (contract !== undefined) {
    const isExpected =
      anchor.chain_id === contract.chainId && anchor.contract.toLowerCase() === contract.address.toLowerCase();
    demand(isExpected, "the anchor is in another contract than the one expected");
  }
  const answer = chainResults === undefined || contract === undefined ? null : readChain(anchor, chainResults);
  demand(answer !== false, `the chain does not hold the head of size ${anchor.size} that the file claims`);
  return answer === true;
}

/**
 * @param {Proof} proof
 * @param {{ isKeyGiven: boolean, isWitnessed: boolean, isConfirmed: boolean }} known
 * @returns {string[]}
 */
function unshown({ anchor, entries }, { isKeyGiven, isWitnessed, isConfirmed }) {
  const codes = [];
  if (!isKeyGiven) codes.push("log_key_taken_from_the_file");
  if (!isWitnessed) codes.push("no_witness_vouches");
  if (anchor === null) {
    codes.push("no_anchor_in_the_file");
  } else {
    if (!isConfirmed) codes.push("chain_not_asked");
    if (entries[entries.length - 1].index >= anchor.size) codes.push("some_entries_newer_than_the_anchor");
  }
  return [...codes, "entries_may_be_left_out", "events_are_their_recorders_word"];
}

/** @param {any} anchor */
function demandAnchor(anchor) {
  demand(isObject(anchor) && Object.keys(anchor).join() === ANCHOR_MEMBERS, "the anchor has other members");
  demand(isWhole(anchor.block), "the anchor's block is not a whole number");
  for (const name of ["chain_id", "size"]) {
    demand(isWhole(anchor[name]) && anchor[name] >= 1, `the anchor's ${name} is not a whole number from 1`);
  }
  demandPath(anchor.consistency);
  demandText(anchor.contract, /^0x[0-9a-fA-F]{40}$/, "the anchor's contract");
  demandText(anchor.log_id, /^0x[0-9a-f]{64}$/, "the anchor's log id");
  demandText(anchor.root, HASH, "the anchor's root");
  demandText(anchor.transaction, /^0x[0-9a-f]{64}$/, "the anchor's transaction");
}

/** @param {unknown} path */
function demandPath(path) {
  demand(Array.isArray(path) && path.length <= 128 && path.every(isWhole), "a path is not a list of positions");
}

/**
 * @param {unknown} texts
 * @param {number} most
 * @param {RegExp} pattern
 * @param {string} what
 */
function demandTexts(texts, most, pattern, what) {
  demand(Array.isArray(texts) && texts.length <= most, `${what} is not a list of at most ${most}`);
  for (const text of texts) demandText(text, pattern, `one of ${what}`);
}

/**
 * @param {unknown} text
 * @param {RegExp} pattern
 * @param {string} what
 */
function demandText(text, pattern, what) {
  demand(typeof text === "string" && pattern.test(text), `${what} is not of its form`);
}

/** @param {unknown} value */
function isWhole(value) {
  return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}

/** @param {unknown} value */
function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
