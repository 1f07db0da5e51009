// The Merkle tree of RFC 9162, section 2.1, with SHA-256. Letters are the RFC's.
import { sha256 } from "../vendor/noble-hashes/sha2.js";
import { equal } from "./bytes.js";
import { demand } from "./errors.js";

export { sha256 };

const EMPTY_ROOT = sha256(new Uint8Array());

/**
 * @param {Uint8Array} d
 * @returns {Uint8Array}
 */
export function leafHash(d) {
  const bytes = new Uint8Array(1 + d.length);
  bytes.set(d, 1);
  return sha256(bytes);
}

/**
 * @param {Uint8Array} left
 * @param {Uint8Array} right
 * @returns {Uint8Array}
 */
export function nodeHash(left, right) {
  const bytes = new Uint8Array(65);
  bytes[0] = 1;
  bytes.set(left, 1);
  bytes.set(right, 33);
  return sha256(bytes);
}

/**
 * Checks that a leaf stands at m under the root of a tree of n (2.1.3.2). Sizes may exceed 32 bits, so
 * they are halved by division and never shifted.
 * @param {Uint8Array} leaf
 * @param {number} m
 * @param {number} n
 * @param {Uint8Array[]} path
 * @param {Uint8Array} expected
 */
export function verifyInclusion(leaf, m, n, path, expected) {
  demand(m >= 0 && m < n, `leaf ${m} cannot stand in a tree of ${n}`);
  let fn = m;
  let sn = n - 1;
  let r = leaf;
  for (const p of path) {
    demand(sn !== 0, `the inclusion path of leaf ${m} is too long`);
    if (fn % 2 === 1 || fn === sn) {
      r = nodeHash(p, r);
      while (fn !== 0 && fn % 2 === 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      r = nodeHash(r, p);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  demand(sn === 0, `the inclusion path of leaf ${m} is too short`);
  demand(equal(r, expected), `leaf ${m} is not under the root of the tree of ${n}`);
}

/**
 * Checks that the tree (n, second) extends the tree (m, first) (2.1.4.2).
 * @param {number} m
 * @param {number} n
 * @param {Uint8Array} first
 * @param {Uint8Array} second
 * @param {Uint8Array[]} path
 */
export function verifyConsistency(m, n, first, second, path) {
  demand(m >= 0 && m <= n, `a tree of ${n} cannot extend one of ${m}`);
  if (m === 0 || m === n) {
    demand(path.length === 0, "a consistency proof between equal or empty trees must be empty");
    const isOne = (m !== n || equal(first, second)) && (m !== 0 || equal(first, EMPTY_ROOT));
    demand(isOne, `two roots are claimed for one tree of ${m}`);
    return;
  }
  let fn = m - 1;
  let sn = n - 1;
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)];
  let rest = path;
  let fr = first;
  let sr = first;
  if (fn !== 0) {
    demand(path.length > 0, "the consistency proof is too short");
    fr = sr = path[0];
    rest = path.slice(1);
  }
  for (const c of rest) {
    demand(sn !== 0, "the consistency proof is too long");
    if (fn % 2 === 1 || fn === sn) {
      [fr, sr] = [nodeHash(c, fr), nodeHash(c, sr)];
      while (fn !== 0 && fn % 2 === 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      sr = nodeHash(sr, c);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  demand(sn === 0, "the consistency proof is too short");
  demand(equal(fr, first) && equal(sr, second), `the tree of ${n} does not extend the tree of ${m}`);
}

/** @param {number} value */
function half(value) {
  return Math.floor(value / 2);
}
