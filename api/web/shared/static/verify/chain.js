// What to ask a chain about an anchor, as JSON-RPC, and how to read its answers. Asking is the page's business.
import { fromBase64, toHex } from "./bytes.js";

/** Selector of `head(bytes32)` and topic of `HeadAnchored(bytes32,uint64,bytes32,uint64)` in IAnchorLog. */
const HEAD = "0xf339e3b2";
const HEAD_ANCHORED = "0xd1d80709ee25851881197526a368dd8e30145277928b060dbfb45534fee684cb";

/**
 * @typedef {{ block: number, chain_id: number, consistency: number[], contract: string, log_id: string,
 *   root: string, size: number, transaction: string }} Anchor
 * @typedef {{ jsonrpc: "2.0", id: number, method: string, params: unknown[] }} Question
 */

/**
 * The questions whose answers confirm or refute an anchor. Send each to a JSON-RPC endpoint you trust.
 * @param {Anchor} anchor
 * @returns {Question[]}
 */
export function chainQuestions(anchor) {
  const block = `0x${anchor.block.toString(16)}`;
  const size = `0x${anchor.size.toString(16).padStart(64, "0")}`;
  const filter = {
    address: anchor.contract,
    topics: [HEAD_ANCHORED, anchor.log_id, size],
    fromBlock: block,
    toBlock: block,
  };
  return [
    { jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] },
    {
      jsonrpc: "2.0",
      id: 2,
      method: "eth_call",
      params: [{ to: anchor.contract, data: HEAD + anchor.log_id.slice(2) }, "latest"],
    },
    { jsonrpc: "2.0", id: 3, method: "eth_getLogs", params: [filter] },
  ];
}

/**
 * What the chain's answers say: true, it holds this head; false, it contradicts it; null, it does not tell.
 * @param {Anchor} anchor
 * @param {unknown[]} results  The `result` of each question, in order; anything else counts as no answer.
 * @returns {boolean | null}
 */
export function readChain(anchor, results) {
  const [chainId, call, logs] = results;
  if (typeof chainId !== "string" || !/^0x[0-9a-f]{1,13}$/i.test(chainId) || Number(chainId) !== anchor.chain_id) {
    return null;
  }
  if (call === "0x") return false; // no such contract
  if (typeof call !== "string" || !/^0x[0-9a-f]{192}$/i.test(call)) return null;
  const root = toHex(fromBase64(anchor.root, "the anchor's root"));
  const newest = BigInt(call.slice(0, 66));
  if (newest < BigInt(anchor.size)) return false;
  if (newest === BigInt(anchor.size) && call.slice(66, 130).toLowerCase() !== root) return false;
  return Array.isArray(logs) ? readLogs(anchor, logs, root) : null;
}

/**
 * @param {Anchor} anchor
 * @param {any[]} logs
 * @param {string} root
 * @returns {boolean | null}
 */
function readLogs(anchor, logs, root) {
  const size = `0x${anchor.size.toString(16).padStart(64, "0")}`;
  const wanted = [HEAD_ANCHORED, anchor.log_id, size].join();
  for (const log of logs) {
    const isOurs =
      typeof log?.address === "string" &&
      log.address.toLowerCase() === anchor.contract.toLowerCase() &&
      Array.isArray(log.topics) &&
      log.topics.join().toLowerCase() === wanted &&
      log.removed !== true &&
      log.transactionHash === anchor.transaction &&
      log.blockNumber === `0x${anchor.block.toString(16)}`;
    if (isOurs && typeof log.data === "string" && /^0x[0-9a-f]{64,}$/i.test(log.data)) {
      return log.data.slice(2, 66).toLowerCase() === root;
    }
  }
  return null;
}
