#!/usr/bin/env node
// The verifier as a command: node cli.js PROOF [--rpc URL] [--policy FILE] ... Needs Node 20 and the two folders
// verify/ and vendor/ beside it, and nothing else. Answers and exit codes are those of `guoyuan verify`.
import { closeSync, openSync, readSync } from "node:fs";
import { parseArgs } from "node:util";
import { toHex } from "./bytes.js";
import { chainQuestions, readChain } from "./chain.js";
import { parseLogKey } from "./checkpoint.js";
import { codeQuestion, isAnchorLog } from "./code.js";
import { VerificationError } from "./errors.js";
import { PolicyError, parsePolicy } from "./policy.js";
import { parseProof, verify } from "./proof.js";
import { isTlogProof, verifyEntry } from "./tlog_proof.js";

const USAGE =
  "usage: cli.js PROOF [--rpc URL] [--policy FILE] [--key VKEY] [--contract ADDRESS] [--chain-id N] [--entry FILE] [--json]";
const MAX_PROOF_BYTES = 16 * 1024 * 1024;
const MAX_POLICY_BYTES = 65536;
const MAX_ENTRY_BYTES = 65535;
const MAX_ANSWER_BYTES = 1024 * 1024;
const ASK_MS = 10_000;

/** Ends the program with an exit code: 1 does not verify, 2 bad usage or input, 3 cannot reach something. */
class Ended extends Error {
  /**
   * @param {number} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @param {string[]} words */
async function main(words) {
  const { file, options } = usage(words);
  const bytes = read(file, MAX_PROOF_BYTES);
  const policy = options.policy === undefined ? undefined : parsePolicy(read(options.policy, MAX_POLICY_BYTES));
  if (options.key !== undefined) parseLogKey(options.key);
  const told = isTlogProof(bytes) ? entry(bytes, options, policy) : await history(bytes, options, policy);
  process.stdout.write(options.json ? `${JSON.stringify(told, null, 2)}\n` : plain(told));
}

/**
 * @param {string[]} words
 * @returns {{ file: string, options: Record<string, any> }}
 */
function usage(words) {
  const text = { type: /** @type {const} */ ("string") };
  const flags = { rpc: text, policy: text, key: text, contract: text, "chain-id": text, entry: text };
  const json = { json: { type: /** @type {const} */ ("boolean") } };
  try {
    const { values, positionals } = parseArgs({ args: words, options: { ...flags, ...json }, allowPositionals: true });
    if (positionals.length !== 1) throw new Error("one proof file is wanted");
    if (values["chain-id"] !== undefined && !/^[1-9]\d{0,14}$/.test(values["chain-id"])) {
      throw new Error("--chain-id is not a number");
    }
    return { file: positionals[0], options: values };
  } catch (error) {
    throw new Ended(2, `${/** @type {Error} */ (error).message}; ${USAGE}`);
  }
}

/**
 * Up to one byte more than a file may have.
 * @param {string} path
 * @param {number} most
 * @returns {Uint8Array}
 */
function read(path, most) {
  let opened;
  try {
    opened = openSync(path, "r");
    let bytes = new Uint8Array(65536);
    let held = 0;
    for (;;) {
      const got = readSync(opened, bytes, held, bytes.length - held, null);
      held += got;
      if (got === 0 || held > most) return bytes.slice(0, Math.min(held, most + 1));
      if (held === bytes.length) {
        const wider = new Uint8Array(Math.min(2 * bytes.length, most + 1 + 65536));
        wider.set(bytes);
        bytes = wider;
      }
    }
  } catch (error) {
    throw new Ended(2, `${path}: ${/** @type {Error} */ (error).message}`);
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {Record<string, any>} options
 * @param {import("./policy.js").Policy | undefined} policy
 */
async function history(bytes, options, policy) {
  const { anchor } = parseProof(bytes);
  refuseElsewhere(anchor, options);
  // What needs no chain is settled first: nothing is asked about a file that does not hold.
  verify(bytes, { logKey: options.key, policy });
  const asked = options.rpc === undefined || anchor === null ? {} : await confirm(options.rpc, anchor);
  const verified = verify(bytes, { logKey: options.key, policy, ...asked });
  const { chain_id, contract, size, transaction } = anchor ?? {};
  return {
    verifies: true,
    format: "guoyuan-proof@1",
    subject: verified.subject,
    origin: verified.origin,
    size: verified.size,
    root: verified.root,
    key: verified.key,
    witnesses: verified.cosignatures.map(witness),
    entries: verified.entries.map(({ index, eventId, isAnchored }) => ({
      index,
      event_id: eventId,
      is_anchored: isAnchored,
    })),
    anchor: anchor === null ? null : { chain_id, contract, size, transaction },
    shown: verified.shown,
    not_shown: verified.unshown,
  };
}

/**
 * @param {import("./chain.js").Anchor | null} anchor
 * @param {Record<string, any>} options
 */
function refuseElsewhere(anchor, options) {
  const chainId = options["chain-id"];
  if (options.contract === undefined && chainId === undefined) return;
  if (anchor === null) throw new VerificationError("the proof names no anchor; you expect one");
  const isThere =
    (options.contract === undefined || anchor.contract.toLowerCase() === options.contract.toLowerCase()) &&
    (chainId === undefined || anchor.chain_id === Number(chainId));
  if (isThere) return;
  const where = `${anchor.contract} on chain ${anchor.chain_id}`;
  throw new VerificationError(`the proof is anchored in ${where}, not where you expect it`);
}

/**
 * What a chain says of an anchor, once its contract was seen to be AnchorLog.
 * @param {string} url
 * @param {import("./chain.js").Anchor} anchor
 */
async function confirm(url, anchor) {
  const [chainId, call, logs, code] = await ask(url, [...chainQuestions(anchor), codeQuestion(anchor)]);
  const chainResults = [chainId, call, logs];
  if (typeof chainId === "string" && /^0x[0-9a-f]+$/i.test(chainId) && BigInt(chainId) !== BigInt(anchor.chain_id)) {
    throw new Ended(2, `${url} is chain ${BigInt(chainId)}; the proof is anchored in chain ${anchor.chain_id}`);
  }
  if (typeof code === "string" && code !== "0x" && !isAnchorLog(code)) {
    throw new Ended(2, `what stands at ${anchor.contract} is not AnchorLog; nothing it says of a log can be relied on`);
  }
  if (typeof code !== "string" || readChain(anchor, code === "0x" ? [chainId, code] : chainResults) === null) {
    throw new Ended(3, `${url} does not tell whether it holds the head of size ${anchor.size}`);
  }
  const contract = { chainId: anchor.chain_id, address: anchor.contract };
  return { contract, chainResults: code === "0x" ? [chainId, code] : chainResults };
}

/**
 * The results of some questions, each asked for itself.
 * @param {string} url
 * @param {import("./chain.js").Question[]} questions
 * @returns {Promise<unknown[]>}
 */
async function ask(url, questions) {
  try {
    return await Promise.all(
      questions.map(async (question) => {
        const response = await fetch(url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(question),
          redirect: "error",
          signal: AbortSignal.timeout(ASK_MS),
        });
        return JSON.parse(await bounded(response))?.result;
      }),
    );
  } catch (error) {
    const why = /** @type {Error & { cause?: Error }} */ (error);
    throw new Ended(3, `${url}: ${why.message}${why.cause ? `: ${why.cause.message}` : ""}`);
  }
}

/** @param {Response} response */
async function bounded(response) {
  const decoder = new TextDecoder();
  let [text, length] = ["", 0];
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (response.body ?? []))) {
    length += chunk.length;
    if (length > MAX_ANSWER_BYTES) throw new Error(`an answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/**
 * @param {Uint8Array} bytes
 * @param {Record<string, any>} options
 * @param {import("./policy.js").Policy | undefined} policy
 */
function entry(bytes, options, policy) {
  if (options.key === undefined && !policy?.logs.length) {
    throw new Ended(2, "a .tlog-proof names no key: give --key, or a --policy that names the log");
  }
  const given = options.entry === undefined ? undefined : read(options.entry, MAX_ENTRY_BYTES + 1);
  const included = verifyEntry(bytes, { entry: given, logKey: options.key, policy });
  const isWitnessed = included.cosignatures.length > 0;
  return {
    verifies: true,
    format: "c2sp.org/tlog-proof@v1",
    index: included.index,
    origin: included.head.origin,
    size: included.head.size,
    root: toHex(included.head.root),
    key: included.log.text,
    witnesses: included.cosignatures.map(witness),
    shown: ["entries_unchanged", "signed_by_the_log", ...(isWitnessed ? ["cosigned_by_witnesses"] : [])],
    not_shown: [
      ...(isWitnessed ? [] : ["no_witness_vouches"]),
      "no_anchor_in_the_file",
      "events_are_their_recorders_word",
    ],
  };
}

/** @param {import("./cosign.js").Cosignature} cosignature */
function witness({ name, key, timeS }) {
  return { name, key, time: new Date(timeS * 1000).toISOString().replace(".000Z", "Z") };
}

/** @param {Record<string, any>} told */
function plain({ subject, entries, index, origin, size, key, witnesses, anchor, shown, not_shown }) {
  const lines = [
    entries ? `verifies: ${entries.length} entries about ${subject}` : `verifies: entry ${index} of ${size}`,
    `log ${origin}, ${size} entries, key ${key}`,
  ];
  for (const { name, time } of witnesses) lines.push(`cosigned by ${name} at ${time} by its clock`);
  if (anchor) {
    const where = `${anchor.transaction}, contract ${anchor.contract} on chain ${anchor.chain_id}`;
    lines.push(`anchored with ${anchor.size} entries in ${where}`);
  }
  for (const code of shown) lines.push(`  shown:     ${code.replaceAll("_", " ")}`);
  for (const code of not_shown) lines.push(`  not shown: ${code.replaceAll("_", " ")}`);
  return `${lines.join("\n")}\n`;
}

/** @param {unknown} error */
function codeOf(error) {
  if (error instanceof Ended) return error.code;
  if (error instanceof PolicyError) return 2;
  return error instanceof VerificationError ? 1 : 70;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  // What a hostile file says must not steer a terminal.
  const line = message.replace(/\s+/g, " ").replace(/[^\x20-\x7e\u00a1-\ud7ff\ue000-\uffff]/g, "?");
  process.stderr.write(`verify: ${line.slice(0, 500)}\n`);
  process.exitCode = codeOf(error);
}
