// Is the contract that an anchor names AnchorLog? Another one could say anything. Who knows its address need not ask.
import { fromHex, toHex } from "./bytes.js";
import { sha256 } from "./merkle.js";

/** SHA-256 of AnchorLog's code, and where its constructor writes an address, which is zero in what is hashed:
 * contracts/abi/AnchorLog.json. */
const CODE = "ae8c2a44e794c21adafb73b7dfd020796ddf9bf31c91a13fb72b3e16ee28a198";
const CODE_ADDRESSES = [163, 854];

/**
 * The question whose answer `isAnchorLog` reads.
 * @param {import("./chain.js").Anchor} anchor
 * @returns {import("./chain.js").Question}
 */
export function codeQuestion(anchor) {
  return { jsonrpc: "2.0", id: 4, method: "eth_getCode", params: [anchor.contract, "latest"] };
}

/**
 * Whether a chain's code at some address is AnchorLog, whatever its constructor was given.
 * @param {unknown} code
 * @returns {boolean}
 */
export function isAnchorLog(code) {
  if (typeof code !== "string" || !/^0x([0-9a-f]{2}){1,24576}$/i.test(code)) return false;
  const bytes = fromHex(code.slice(2), "the contract's code");
  for (const start of CODE_ADDRESSES) bytes.fill(0, start, start + 32);
  return toHex(sha256(bytes)) === CODE;
}
