// Policy files: C2SP tlog-policy. Which logs a verifier believes, and whose cosignatures it demands. As ledger/policy.py.
import { fromUtf8 } from "./bytes.js";
import { isOf, parseLogKey, parseNote, verifyCheckpoint } from "./checkpoint.js";
import { cosignatures, parseWitnessKey } from "./cosign.js";
import { demand, VerificationError } from "./errors.js";

const MAX_FILE_BYTES = 65536;
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/;
const NUMBER = /^[1-9][0-9]{0,4}$/;
const KEYWORDS = ["log", "witness", "group", "quorum"];

/**
 * @typedef {import("./checkpoint.js").LogKey} LogKey
 * @typedef {{ k: number, members: string[] }} Group
 * @typedef {{ head: import("./checkpoint.js").TreeHead, log: LogKey,
 *   cosignatures: import("./cosign.js").Cosignature[] }} Approval
 */

/** A policy file that does not say what it demands. `line` counts from 1; 0 stands for the whole file. */
export class PolicyError extends Error {
  /**
   * @param {number} line
   * @param {string} reason
   */
  constructor(line, reason) {
    super(line ? `policy, line ${line}: ${reason}` : `policy: ${reason}`);
    this.name = "PolicyError";
    this.line = line;
  }
}

/** What a verifier demands of a checkpoint. Names are the file's octets, one character each. */
export class Policy {
  constructor() {
    /** @type {LogKey[]} */
    this.logs = [];
    /** @type {Map<string, import("./cosign.js").WitnessKey>} */
    this.witnesses = new Map();
    /** @type {Map<string, Group>} */
    this.groups = new Map();
    /** @type {string | null} */
    this.quorum = null;
  }

  /**
   * What a checkpoint shows under this policy. Throws VerificationError where it does not satisfy it.
   * @param {string} note
   * @param {LogKey} [log]  A log known from elsewhere; it must be one of the policy's, if that names any.
   * @returns {Approval}
   */
  check(note, log) {
    const isNamed = log === undefined || this.logs.length === 0 || this.logs.some(({ text }) => text === log.text);
    demand(isNamed, `the policy does not name the log key ${log?.text}`);
    const { signatures } = parseNote(note);
    const candidates = log === undefined ? this.logs : [log];
    const signing = candidates.filter((key) => signatures.some((line) => isOf(line, key)));
    demand(signing.length > 0, "the checkpoint is signed by no log that the policy names");
    // A signature of a known key that does not hold spoils the whole note (signed-note, "Signatures").
    const heads = signing.map((key) => verifyCheckpoint(note, key));
    const given = cosignatures(note, [...this.witnesses.values()]);
    const by = given.map(({ name }) => name).sort();
    demand(
      this.isMetBy(new Set(given.map(({ key }) => key))),
      `the policy's quorum ${printable(this.quorum ?? "")} is not met: of its witnesses, ${by.join(", ") || "nobody"} cosigned`,
    );
    return { head: heads[0], log: signing[0], cosignatures: given };
  }

  /**
   * @param {Set<string>} signed  Keys of the witnesses that cosigned.
   * @returns {boolean}
   */
  isMetBy(signed) {
    if (this.quorum === "none") return true;
    const witnessed = new Set();
    for (const [name, key] of this.witnesses) if (signed.has(key.text)) witnessed.add(name);
    for (const [name, { k, members }] of this.groups) {
      // In the file's order: members stand before their group.
      if (members.filter((member) => witnessed.has(member)).length >= k) witnessed.add(name);
    }
    return witnessed.has(this.quorum);
  }
}

/**
 * The policy in a file's bytes. Throws PolicyError, which names the line.
 * @param {Uint8Array} bytes
 * @returns {Policy}
 */
export function parsePolicy(bytes) {
  if (bytes.length > MAX_FILE_BYTES) throw new PolicyError(0, `the file is longer than ${MAX_FILE_BYTES} bytes`);
  const lines = Array.from(bytes, (octet) => String.fromCharCode(octet))
    .join("")
    .split("\n");
  const rest = lines.pop();
  const policy = new Policy();
  const members = new Set();
  lines.forEach((line, i) => {
    if (FORBIDDEN.test(line)) throw new PolicyError(i + 1, "a control character");
    const words = line.split(/[ \t]+/).filter((word) => word !== "");
    if (words.length > 0 && !words[0].startsWith("#")) take(policy, members, words, i + 1);
  });
  if (rest !== "") {
    throw new PolicyError(lines.length + 1, "the last line does not end in a newline; was the file cut short?");
  }
  if (policy.quorum === null) throw new PolicyError(0, "there is no quorum line");
  return policy;
}

/**
 * @param {Policy} policy
 * @param {Set<string>} members  Names that are members of some group.
 * @param {string[]} words
 * @param {number} line
 */
function take(policy, members, [keyword, ...rest], line) {
  if (keyword === "log" && (rest.length === 1 || rest.length === 2)) {
    policy.logs.push(keyOf(parseLogKey, rest[0], policy.logs, line));
  } else if (keyword === "witness" && (rest.length === 2 || rest.length === 3)) {
    refuseName(policy, rest[0], line);
    policy.witnesses.set(rest[0], keyOf(parseWitnessKey, rest[1], [...policy.witnesses.values()], line));
  } else if (keyword === "group" && rest.length >= 3) {
    takeGroup(policy, members, rest, line);
  } else if (keyword === "quorum" && rest.length === 1) {
    if (policy.quorum !== null) throw new PolicyError(line, "a second quorum line");
    if (rest[0] !== "none") demandDefined(policy, rest[0], line);
    policy.quorum = rest[0];
  } else if (KEYWORDS.includes(keyword)) {
    throw new PolicyError(line, `a ${keyword} line has another number of words`);
  } else {
    throw new PolicyError(line, `"${printable(keyword)}" is none of log, witness, group, quorum`);
  }
}

/**
 * @param {Policy} policy
 * @param {Set<string>} members
 * @param {string[]} words
 * @param {number} line
 */
function takeGroup(policy, members, [name, threshold, ...names], line) {
  refuseName(policy, name, line);
  for (const member of names) {
    demandDefined(policy, member, line);
    if (members.has(member)) throw new PolicyError(line, `"${printable(member)}" is a member already`);
    members.add(member);
  }
  let k = 0;
  if (threshold === "all") k = names.length;
  else if (threshold === "any") k = 1;
  else if (NUMBER.test(threshold) && Number(threshold) <= names.length) k = Number(threshold);
  if (k === 0) {
    const range = `a number from 1 to ${names.length}`;
    throw new PolicyError(line, `"${printable(threshold)}" is neither all, any, nor ${range}`);
  }
  policy.groups.set(name, { k, members: names });
}

/**
 * @param {Policy} policy
 * @param {string} name
 * @param {number} line
 */
function demandDefined(policy, name, line) {
  const isDefined = policy.witnesses.has(name) || policy.groups.has(name);
  if (!isDefined) throw new PolicyError(line, `"${printable(name)}" is defined on no line before`);
}

/**
 * @param {Policy} policy
 * @param {string} name
 * @param {number} line
 */
function refuseName(policy, name, line) {
  if (name === "none") throw new PolicyError(line, "'none' cannot be defined");
  const isDefined = policy.witnesses.has(name) || policy.groups.has(name);
  if (isDefined) throw new PolicyError(line, `"${printable(name)}" is defined twice`);
}

/**
 * @param {(text: string) => import("./checkpoint.js").NoteKey} parse
 * @param {string} octets
 * @param {import("./checkpoint.js").NoteKey[]} known
 * @param {number} line
 * @returns {import("./checkpoint.js").NoteKey}
 */
function keyOf(parse, octets, known, line) {
  let key;
  try {
    key = parse(fromUtf8(bytesOf(octets), "the key"));
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new PolicyError(line, `not a key of that kind: ${error.message}`);
  }
  // tlog-policy, "Public key representation": the same key under another name is the same key.
  const bytes = String(key.publicKey);
  if (known.some(({ publicKey }) => String(publicKey) === bytes)) {
    throw new PolicyError(line, `the key of "${key.name}" stands on a line before`);
  }
  return key;
}

/** @param {string} octets */
function bytesOf(octets) {
  return Uint8Array.from(octets, (octet) => octet.charCodeAt(0));
}

/**
 * Opaque octets as text for a person.
 * @param {string} octets
 */
function printable(octets) {
  return new TextDecoder().decode(bytesOf(octets));
}
