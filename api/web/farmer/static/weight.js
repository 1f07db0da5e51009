// @ts-check
/**
 * The weight keypad: digits in, whole grams out. 1 斤 is 500 g.
 *
 * @typedef {"kg" | "jin"} MassUnit
 * @typedef {{text: string, unit: MassUnit}} Weight  text as typed: "", "11", "11.", "11.6"
 */

/** @type {Record<MassUnit, number>} */
const GRAMS = { kg: 1000, jin: 500 };

/** One crate that a person can carry; more is a slip of the thumb. */
export const MOST_IN_A_CRATE_G = 60_000;

/**
 * Return the weight after a key: a digit, ".", or "back". Keys that make no sense change nothing.
 * @param {Weight} weight
 * @param {string} key
 * @returns {Weight}
 */
export function press(weight, key) {
  const { text } = weight;
  if (key === "back") return { ...weight, text: text.slice(0, -1) };
  if (key === ".") return text.includes(".") ? weight : { ...weight, text: `${text || "0"}.` };
  if (!/^\d$/.test(key)) return weight;
  const next = text === "0" ? key : text + key;
  return /^\d{1,3}(\.\d{0,2})?$/.test(next) ? { ...weight, text: next } : weight;
}

/**
 * Return whole grams. Decimal text is read digit by digit: 11.1 × 1000 is not 11100 in floating point.
 * @param {Weight} weight
 */
export function grams({ text, unit }) {
  const [whole = "0", part = ""] = text.split(".");
  const hundredths = Number(whole || "0") * 100 + Number(part.padEnd(2, "0"));
  return Math.round((hundredths * GRAMS[unit]) / 100);
}

/**
 * Return the same mass, to the nearest gram that can be typed, in the other unit.
 * @param {Weight} weight
 * @param {MassUnit} unit
 * @returns {Weight}
 */
export function inUnit(weight, unit) {
  if (unit === weight.unit || weight.text === "") return { ...weight, unit };
  const hundredths = Math.round((grams(weight) * 100) / GRAMS[unit]);
  const text = `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, "0")}`.replace(/\.?0+$/, "");
  return { text: text || "0", unit };
}

/**
 * Return what keeps this weight from being recorded, or null.
 * @param {Weight} weight
 * @returns {"empty" | "too_much" | null}
 */
export function problem(weight) {
  const mass = grams(weight);
  if (mass <= 0) return "empty";
  return mass > MOST_IN_A_CRATE_G ? "too_much" : null;
}
