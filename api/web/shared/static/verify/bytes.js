// Bytes and the few texts they are written as. Every encoding has one accepted spelling.
import { demand, VerificationError } from "./errors.js";

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = [STANDARD, URL_SAFE].map((letters) => new Map([...letters].map((letter, value) => [letter, value])));
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?:[^\ud800-\udbff]|^)[\udc00-\udfff]/;

/**
 * The UTF-8 bytes of a text. Throws VerificationError for a lone surrogate.
 * @param {string} text
 * @returns {Uint8Array}
 */
export function utf8(text) {
  demand(isWellFormed(text), "a text is broken: it holds half a character");
  return ENCODER.encode(text);
}

/**
 * Whether a text holds no half character.
 * @param {string} text
 * @returns {boolean}
 */
export function isWellFormed(text) {
  // The method came to browsers in 2023; the expression is ten times slower.
  const native = /** @type {{ isWellFormed?: () => boolean }} */ (Object(text));
  return native.isWellFormed ? native.isWellFormed() : !SURROGATE.test(text);
}

/**
 * The text in UTF-8 bytes.
 * @param {Uint8Array} bytes
 * @param {string} what
 * @returns {string}
 */
export function fromUtf8(bytes, what) {
  try {
    return DECODER.decode(bytes);
  } catch (error) {
    throw new VerificationError(`${what} is not UTF-8`, error);
  }
}

/**
 * Bytes of padded base64 (RFC 4648, section 4).
 * @param {string} text
 * @param {string} what
 * @returns {Uint8Array}
 */
export function fromBase64(text, what) {
  demand(typeof text === "string" && text.length % 4 === 0, `${what} is not base64`);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return decode(text.slice(0, text.length - padding), VALUES[0], what);
}

/**
 * Bytes of base64url without padding (section 5).
 * @param {string} text
 * @param {string} what
 * @returns {Uint8Array}
 */
export function fromBase64Url(text, what) {
  return decode(text, VALUES[1], what);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64Url(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const letters = Math.min(4, bytes.length - i + 1);
    for (let j = 0; j < letters; j++) text += URL_SAFE[(group >> (18 - 6 * j)) & 63];
  }
  return text;
}

/**
 * @param {string} text  Hex without a prefix.
 * @param {string} what
 * @returns {Uint8Array}
 */
export function fromHex(text, what) {
  demand(/^([0-9a-f]{2})*$/i.test(text), `${what} is not hex`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 * @returns {boolean}
 */
export function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * @param {string} text
 * @param {Map<string, number>} values
 * @param {string} what
 * @returns {Uint8Array}
 */
function decode(text, values, what) {
  demand(text.length % 4 !== 1, `${what} is not base64`);
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of text) {
    const value = values.get(letter);
    demand(value !== undefined, `${what} is not base64`);
    held = ((held << 6) | value) & 0xfff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 0xff;
    }
  }
  demand((held & ((1 << bits) - 1)) === 0, `${what} is not written in the one way base64 allows`);
  return bytes;
}
