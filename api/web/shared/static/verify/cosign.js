// Cosignatures of witnesses: C2SP tlog-cosignature, `cosignature/v1` (Ed25519). The same checks as ledger/cosign.py.
import { utf8 } from "./bytes.js";
import { concat, holds, isOf, parseKey, parseNote } from "./checkpoint.js";
import { demand } from "./errors.js";

/** The last second of the year 9999. */
const MAX_TIME_S = 253_402_300_799;

/**
 * @typedef {import("./checkpoint.js").NoteKey} WitnessKey
 * @typedef {{ name: string, key: string, timeS: number }} Cosignature  `timeS`: seconds since 1970, by its clock.
 */

/**
 * The key of a witness in a C2SP verifier key text.
 * @param {string} text
 * @returns {WitnessKey}
 */
export function parseWitnessKey(text) {
  return parseKey(text, 4, "the witness key");
}

/**
 * What these witnesses say of a checkpoint; of one that signed more than once, the latest. Others are passed over.
 * Throws VerificationError where a signature that claims to be one of these keys' does not hold.
 * @param {string} note
 * @param {WitnessKey[]} keys
 * @returns {Cosignature[]}
 */
export function cosignatures(note, keys) {
  const { signed, signatures } = parseNote(note);
  return keys.flatMap((key) => {
    const times = signatures.filter((line) => isOf(line, key)).map(({ signature }) => time(key, signed, signature));
    return times.length > 0 ? [{ name: key.name, key: key.text, timeS: Math.max(...times) }] : [];
  });
}

/**
 * The second of a cosignature that holds.
 * @param {WitnessKey} key
 * @param {Uint8Array} signed
 * @param {Uint8Array} signature
 * @returns {number}
 */
function time(key, signed, signature) {
  const wrong = `the cosignature of "${key.name}" is not a time and an Ed25519 signature`;
  demand(signature.length === 72, wrong);
  const timeS = Number(new DataView(signature.buffer, signature.byteOffset).getBigUint64(0));
  demand(timeS >= 1 && timeS <= MAX_TIME_S, wrong);
  const message = concat(utf8(`cosignature/v1\ntime ${timeS}\n`), signed);
  demand(holds(key.publicKey, signature.slice(8), message), `the cosignature of "${key.name}" does not hold`);
  return timeS;
}
