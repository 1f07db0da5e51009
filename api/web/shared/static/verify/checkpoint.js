// Signed tree heads: C2SP tlog-checkpoint inside C2SP signed-note, Ed25519.
import { hashes, verify as verifyEd25519 } from "../vendor/noble-ed25519/index.js";
import { sha256, sha512 } from "../vendor/noble-hashes/sha2.js";
import { equal, fromBase64, isWellFormed, toHex, utf8 } from "./bytes.js";
import { demand } from "./errors.js";

// crypto.subtle is missing where a page has no TLS; the curve must not depend on it.
hashes.sha512 = sha512;

const MAX_NOTE = 131072;
// signed-note, "Format": no Unicode spaces and no plus sign. Control characters are refused everywhere.
const NAME =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  /^[^\x00-\x20\x7f-\xa0+\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]{1,200}$/u;
const SIZE = /^(0|[1-9]\d{0,15})$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
const CONTROL = /[\x00-\x1f\x7f-\x9f]/;

/**
 * @typedef {{ name: string, publicKey: Uint8Array, keyId: Uint8Array, text: string }} NoteKey
 * @typedef {NoteKey} LogKey
 * @typedef {{ origin: string, size: number, root: Uint8Array }} TreeHead
 * @typedef {{ name: string, keyId: Uint8Array, signature: Uint8Array }} Signature
 */

/**
 * The key in a C2SP verifier key text.
 * @param {string} text
 * @returns {LogKey}
 */
export function parseLogKey(text) {
  return parseKey(text, 1, "the log key");
}

/**
 * An Ed25519 key that signs notes. `type` is the signature type of signed-note, section "Signature types".
 * @param {string} text
 * @param {number} type
 * @param {string} what
 * @returns {NoteKey}
 */
export function parseKey(text, type, what) {
  demand(typeof text === "string" && [...text].length <= 400, `${what} is not of the form name+id+key`);
  const [name, id, ...rest] = text.split("+");
  const encoded = rest.join("+");
  demand(rest.length > 0 && NAME.test(name), `${what} is not of the form name+id+key`);
  const material = fromBase64(encoded, what);
  demand(material.length === 33 && material[0] === type, `${what} is not an Ed25519 key of type ${type}`);
  const keyId = sha256(concat(utf8(`${name}\n`), material)).slice(0, 4);
  demand(id === toHex(keyId), `${what} does not match its own id`);
  return { name, publicKey: material.slice(1), keyId, text };
}

/**
 * The head that this key signed as the log's own.
 * @param {string} note
 * @param {LogKey} key
 * @returns {TreeHead}
 */
export function verifyCheckpoint(note, key) {
  const { head, signed, signatures } = parseNote(note);
  demand(head.origin === key.name, `the checkpoint is of the log "${head.origin.slice(0, 200)}", not of "${key.name}"`);
  const ours = signatures.filter((line) => isOf(line, key));
  demand(ours.length === 1, `the checkpoint carries ${ours.length} signatures of "${key.name}", not one`);
  demand(
    holds(key.publicKey, ours[0].signature, signed),
    `the signature of "${key.name}" on the checkpoint does not hold`,
  );
  return head;
}

/**
 * Whether a signature line stands under a key's name and id.
 * @param {Signature} line
 * @param {NoteKey} key
 */
export function isOf(line, key) {
  return line.name === key.name && equal(line.keyId, key.keyId);
}

/**
 * Whether an Ed25519 signature is one of this key over these bytes, whatever it is fed.
 * @param {Uint8Array} publicKey
 * @param {Uint8Array} signature
 * @param {Uint8Array} message
 */
export function holds(publicKey, signature, message) {
  try {
    return verifyEd25519(signature, message, publicKey, { zip215: false });
  } catch {
    return false;
  }
}

/**
 * The head in a signed note, the bytes its signatures are over, and the signatures, unchecked.
 * @param {string} note
 * @returns {{ head: TreeHead, signed: Uint8Array, signatures: Signature[] }}
 */
export function parseNote(note) {
  demand(
    typeof note === "string" && [...note].length <= MAX_NOTE,
    "the checkpoint is not text of at most 131,072 characters",
  );
  demand(
    isWellFormed(note) && !CONTROL.test(note.replaceAll("\n", "")),
    "the checkpoint holds control characters or broken text",
  );
  const gap = note.lastIndexOf("\n\n");
  demand(gap >= 0 && note.endsWith("\n"), "the checkpoint has no signatures");
  const lines = note.slice(0, gap).split("\n");
  demand(
    lines.length >= 3 && lines.every((line) => line !== ""),
    "the checkpoint does not begin with origin, size and root",
  );
  const [origin, size, root] = lines;
  demand(SIZE.test(size) && Number.isSafeInteger(Number(size)), "the checkpoint's size is not a plain number");
  const head = { origin, size: Number(size), root: fromBase64(root, "the checkpoint's root") };
  demand(head.root.length === 32, "the checkpoint's root is not 32 bytes");
  const signatures = note
    .slice(gap + 2, -1)
    .split("\n")
    .map(parseSignature);
  return { head, signed: utf8(note.slice(0, gap + 1)), signatures };
}

/**
 * @param {string} line
 * @returns {Signature}
 */
function parseSignature(line) {
  const [dash, name, ...rest] = line.split(" ");
  demand(dash === "—" && rest.length > 0 && NAME.test(name), "a signature line is not of the form '— name signature'");
  const material = fromBase64(rest.join(" "), "a signature");
  demand(material.length >= 5, "a signature is too short");
  return { name, keyId: material.slice(0, 4), signature: material.slice(4) };
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
export function concat(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
