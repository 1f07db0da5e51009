// Reads the shared vectors: tests/vectors/compact.py says how they are written.
import { readFileSync } from "node:fs";

const ENCODER = new TextEncoder();

/** The cases of a file. @param {string} name */
export function cases(name) {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), "ascii"));
}

/** A text that may be written as parts. @param {any} value @returns {string} */
export function textOf(value) {
  if (typeof value === "string") return value;
  return value.map((part) => (typeof part === "string" ? part : part[0].repeat(part[1]))).join("");
}

/** The bytes of every case's file, by its description. @param {any[]} list @returns {Map<string, Uint8Array>} */
export function filesOf(list) {
  const files = new Map();
  for (const item of list) files.set(item.description, fileOf(item, files));
  return files;
}

/** @param {any} item @param {Map<string, Uint8Array>} files */
function fileOf(item, files) {
  if (item.file !== undefined) return ENCODER.encode(textOf(item.file));
  if (item.file_base64 !== undefined) return new Uint8Array(Buffer.from(item.file_base64, "base64"));
  let data = Buffer.from(files.get(item.like));
  for (const [at, gone, put] of item.splices) {
    const isText = typeof put === "string" || Array.isArray(put);
    const bytes = isText ? Buffer.from(textOf(put)) : Buffer.from(put.base64, "base64");
    data = Buffer.concat([data.subarray(0, at), bytes, data.subarray(at + gone)]);
  }
  return new Uint8Array(data);
}

/** A generator of numbers below n that gives the same ones every time (mulberry32). @param {number} seed */
export function numbers(seed) {
  let state = seed;
  return (/** @type {number} */ n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}
