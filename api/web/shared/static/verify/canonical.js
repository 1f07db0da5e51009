// RFC 8785 (JSON Canonicalization Scheme). ECMAScript's own number and string forms are the RFC's.
import { isWellFormed } from "./bytes.js";
import { demand, VerificationError } from "./errors.js";

const MAX_DEPTH = 64;

/**
 * The canonical text of a value that JSON.parse made.
 * @param {unknown} value
 * @param {number} [depth]
 * @returns {string}
 */
export function canonical(value, depth = 0) {
  if (typeof value === "string") {
    demand(isWellFormed(value), "it holds half a character");
    return JSON.stringify(value);
  }
  if (typeof value === "number") {
    demand(Number.isFinite(value), "it holds a number without a JSON form");
    const isWhole = Number.isInteger(value) && Math.abs(value) < 1e21;
    demand(!isWhole || Number.isSafeInteger(value), "it holds a whole number beyond 2^53 - 1");
    return JSON.stringify(value);
  }
  if (value === null || typeof value === "boolean") return String(value);
  demand(depth < MAX_DEPTH, `it is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item, depth + 1)).join(",")}]`;
  const object = /** @type {Record<string, unknown>} */ (value);
  let text = "";
  // sort() goes by UTF-16 code unit, as the RFC does
  for (const key of Object.keys(object).sort()) {
    text += `${text && ","}${canonical(key)}:${canonical(object[key], depth + 1)}`;
  }
  return `{${text}}`;
}

/**
 * The value of a JSON text, which must be its own canonical form.
 * @param {string} text
 * @param {string} what
 * @returns {unknown}
 */
export function parseCanonical(text, what) {
  let value;
  let again;
  try {
    value = JSON.parse(text);
    again = canonical(value);
  } catch (error) {
    throw new VerificationError(`${what} is not JSON: ${error instanceof Error ? error.message : error}`, error);
  }
  demand(again === text, `${what} is not canonical JSON (RFC 8785)`);
  return value;
}
