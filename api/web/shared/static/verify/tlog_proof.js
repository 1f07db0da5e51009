// The proof of one entry as text: C2SP `tlog-proof@v1`. The same checks as ledger/tlog_proof.py.
import { fromBase64, fromUtf8 } from "./bytes.js";
import { parseLogKey, verifyCheckpoint } from "./checkpoint.js";
import { demand, VerificationError } from "./errors.js";
import { leafHash, verifyInclusion } from "./merkle.js";

const FORMAT = "c2sp.org/tlog-proof@v1";
const MAX_ENTRY_BYTES = 65535;
const MAX_FILE_BYTES = 4 * 131072 + 2 * MAX_ENTRY_BYTES;
const MAX_PATH = 63;
const INDEX = /^(0|[1-9]\d{0,15})$/;

/**
 * @typedef {{ index: number, path: Uint8Array[], checkpoint: string, extra: Uint8Array | null }} TlogProof
 * @typedef {{ index: number, entry: Uint8Array, head: import("./checkpoint.js").TreeHead,
 *   log: import("./checkpoint.js").LogKey, cosignatures: import("./cosign.js").Cosignature[] }} Included
 */

/**
 * Whether a file says that it is of this format.
 * @param {Uint8Array} bytes
 */
export function isTlogProof(bytes) {
  return [...`${FORMAT}\n`].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}

/**
 * The proof in a file's bytes, well formed but not verified. Throws VerificationError.
 * @param {Uint8Array} bytes
 * @returns {TlogProof}
 */
export function parseTlogProof(bytes) {
  demand(bytes.length <= MAX_FILE_BYTES, `the file is ${bytes.length} bytes; a proof has at most ${MAX_FILE_BYTES}`);
  const text = fromUtf8(bytes, "the file");
  const gap = text.indexOf("\n\n");
  const [first, ...lines] = text.slice(0, gap).split("\n");
  demand(first === FORMAT && gap >= 0, `the file is not a ${FORMAT}`);
  let extra = null;
  if (lines[0]?.startsWith("extra ")) {
    extra = fromBase64(/** @type {string} */ (lines.shift()).slice(6), "the extra data");
    demand(extra.length <= MAX_ENTRY_BYTES, `the extra data are ${extra.length} bytes; an entry has at most 65,535`);
  }
  const index = lines[0]?.startsWith("index ") ? /** @type {string} */ (lines.shift()).slice(6) : "";
  demand(INDEX.test(index) && Number.isSafeInteger(Number(index)), "the file's index is not a plain number");
  demand(lines.length <= MAX_PATH, `the inclusion path has ${lines.length} hashes; ${MAX_PATH} reach any root`);
  const path = lines.map((line) => fromBase64(line, "a hash of the path"));
  demand(
    path.every((node) => node.length === 32),
    "a hash of the path is not 32 bytes",
  );
  return { index: Number(index), path, checkpoint: text.slice(gap + 2), extra };
}

/**
 * What a proof file shows of an entry: the one given, else the one it carries. Needs the log's key or a policy that
 * names the log. Throws VerificationError, and nothing else, when it does not hold.
 * @param {Uint8Array} bytes
 * @param {{ entry?: Uint8Array, logKey?: string, policy?: import("./policy.js").Policy }} options
 * @returns {Included}
 */
export function verifyEntry(bytes, { entry, logKey, policy }) {
  try {
    const proof = parseTlogProof(bytes);
    const given = entry ?? proof.extra;
    demand(given !== null, "the file does not carry its entry; give the entry beside it");
    const log = logKey === undefined ? undefined : parseLogKey(logKey);
    const approval = policy ? policy.check(proof.checkpoint, log) : signedBy(proof.checkpoint, log);
    verifyInclusion(leafHash(given), proof.index, approval.head.size, proof.path, approval.head.root);
    return { index: proof.index, entry: given, ...approval };
  } catch (error) {
    if (error instanceof VerificationError) throw error;
    throw new VerificationError(`the proof cannot be read: ${error instanceof Error ? error.message : error}`, error);
  }
}

/**
 * @param {string} note
 * @param {import("./checkpoint.js").LogKey | undefined} log
 */
function signedBy(note, log) {
  demand(log !== undefined, "the checkpoint is signed by no log that is known");
  return { head: verifyCheckpoint(note, log), log, cosignatures: [] };
}
