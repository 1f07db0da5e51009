// How a fact on the page is found again in verified bytes and written the way the server wrote it: api/facts.py.
import { lang } from "/web/shared/kit.js";

/** @typedef {Map<string, any>} Sources  verified JSON by leaf index or by the SHA-256 of a file, in hex */

const NBSP = "\u00a0";
const MONTHS = "January,February,March,April,May,June,July,August,September,October,November,December".split(",");
const NUMBERS = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 3 });

/**
 * What stands at a JSON pointer (RFC 6901), or undefined.
 * @param {any} document
 * @param {string} pointer
 */
export function at(document, pointer) {
  let value = document;
  for (const part of pointer.split("/").slice(1)) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** A fact whose source is not there to look at (yet). */
export class Unavailable extends Error {}

/**
 * The value a fact has in verified sources. Throws Unavailable where a source is missing.
 * @param {string} refs
 * @param {string} op
 * @param {Sources} sources
 * @param {any[]} step  the events of the step the fact stands in
 */
export function sealedValue(refs, op, sources, step) {
  const values = refs.split(" ").flatMap((ref) => {
    const cut = ref.indexOf("/");
    const [source, pointer] = [ref.slice(0, cut), ref.slice(cut)];
    if (source === "step") return step.map((event) => at(event, pointer)).filter((value) => value !== undefined);
    if (!sources.has(source)) throw new Unavailable(source);
    return [at(sources.get(source), pointer)];
  });
  if (op === "sum") return values.reduce((sum, value) => sum + value, 0);
  if (op === "count") return values.length;
  if (op === "minus") return values[0] - values[1];
  if (op === "between") return Math.floor((Date.parse(values[1]) - Date.parse(values[0])) / 60000);
  return values[0];
}

/**
 * The sources a fact is made from.
 * @param {string} refs
 */
export const sourcesOf = (refs) => refs.split(" ").map((ref) => ref.slice(0, ref.indexOf("/")));

/**
 * @param {number} value
 * @param {number} [places]
 */
function number(value, places) {
  if (places === undefined) return NUMBERS.format(value);
  return new Intl.NumberFormat("en-GB", { minimumFractionDigits: places, maximumFractionDigits: places }).format(value);
}

/**
 * @param {number} value
 * @param {number} places
 */
const halfUp = (value, places) => Math.floor(value * 10 ** places + 0.5) / 10 ** places;

/** @param {number} mass_g */
function kilograms(mass_g) {
  const part = String(mass_g % 1000)
    .padStart(3, "0")
    .replace(/0+$/, "");
  return number(Math.floor(mass_g / 1000)) + (part && `.${part}`);
}

/** @param {number} minutes */
function span(minutes) {
  const whole = Math.floor(minutes);
  const [d, h, m] = lang === "zh" ? ["天", "小时", "分"] : ["d", "h", "min"];
  const hours = Math.floor(whole / 60);
  /** @type {[number, string][]} */
  const parts =
    hours >= 48
      ? [
          [Math.floor(hours / 24), d],
          [hours % 24, h],
        ]
      : [
          [hours, h],
          [whole % 60, m],
        ];
  const shown = parts.filter(([value]) => value).map(([value, unit]) => value + NBSP + unit);
  return shown.join(NBSP) || `0${NBSP}${m}`;
}

/**
 * @param {string} text  RFC 3339, or a plain date
 * @returns {{ year: number, month: number, day: number, clock: string }}
 */
function parts(text) {
  if (/^\d{4}-\d\d-\d\d$/.test(text)) {
    const [year, month, day] = text.split("-").map(Number);
    return { year, month, day, clock: "" };
  }
  const zone = document.documentElement.dataset.zone;
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const found = Object.fromEntries(format.formatToParts(new Date(text)).map(({ type, value }) => [type, value]));
  return { year: +found.year, month: +found.month, day: +found.day, clock: `${found.hour}:${found.minute}` };
}

/**
 * @param {string} text
 * @param {"short" | "long" | "full"} size
 */
function day(text, size) {
  const { year, month, day } = parts(text);
  const name = size === "short" ? MONTHS[month - 1].slice(0, 3) : MONTHS[month - 1];
  const shown =
    lang === "zh"
      ? `${size === "full" ? `${year} 年 ` : ""}${month} 月 ${day} 日`
      : `${day} ${name}${size === "full" ? ` ${year}` : ""}`;
  return shown.replaceAll(" ", NBSP);
}

/** @type {Record<string, string>} */
const messages = JSON.parse(document.getElementById("messages")?.textContent ?? "{}");

/** @param {string} prefix */
const word = (prefix) => (/** @type {any} */ value) => messages[`consumer.js.${prefix}.${value}`] ?? String(value);

/** @type {Record<string, (value: any) => string>} */
const FORMATS = {
  text: String,
  number: (value) => number(value),
  kg: (value) => `${kilograms(value)}${NBSP}kg`,
  "kg-number": kilograms,
  "kg-signed": (value) => `${value < 0 ? "\u2212" : "+"}${kilograms(Math.abs(value))}${NBSP}kg`,
  "grams-number": (value) => number(value),
  "mm-number": (value) => number(Math.floor((value + 500) / 1000)),
  "mm-tenths": (value) => number(halfUp(value / 1000, 1), 1),
  cm2: (value) => number(halfUp(value / 100, 1), 1),
  area: (value) =>
    lang === "zh"
      ? `${number(halfUp((value * 3) / 2000, 1))}${NBSP}亩`
      : `${number(halfUp(value / 10000, 2))}${NBSP}ha`,
  yuan: (value) => `¥${Math.floor(value / 100)}.${String(value % 100).padStart(2, "0")}`,
  celsius: (value) => `${number(halfUp(value, 1))}${NBSP}°C`,
  "celsius-number": (value) => number(halfUp(value, 1)),
  "celsius-milli": (value) => number(halfUp(value / 1000, 1)),
  span,
  clock: (value) => parts(value).clock,
  day: (value) => day(value, "long"),
  "day-short": (value) => day(value, "short"),
  moment: (value) => `${day(value, "short")}${NBSP}${parts(value).clock}`,
  date: (value) => day(value, "long"),
  "date-full": (value) => day(value, "full"),
  variety: word("variety"),
  region: word("region"),
  treatment: word("treatment"),
  standard: word("standard"),
  "tier-name": word("tier"),
  reason: word("reason"),
  product: word("product"),
};

/**
 * A value as the page writes it.
 * @param {string} kind
 * @param {any} value
 */
export function written(kind, value) {
  return FORMATS[kind]?.(value) ?? String(value);
}
