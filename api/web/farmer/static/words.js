// @ts-check
/** Masses, days and minutes as the farmer reads them. The server writes the first screen with the same rules. */
import { formatClock, formatNumber, lang, t } from "/web/shared/kit.js";

const NBSP = "\u00a0";

/**
 * `18.4`: a tenth of a kilogram is what a field scale shows.
 * @param {number} mass_g
 */
export const kg = (mass_g) => formatNumber(Math.floor((mass_g + 50) / 100) / 10);

/**
 * The same in 斤, which is half a kilogram.
 * @param {number} mass_g
 */
export const jin = (mass_g) => formatNumber(Math.floor((mass_g + 25) / 50) / 10);

/**
 * A weighed crate, as exactly as it was typed.
 * @param {number} mass_g
 */
export const exactKg = (mass_g) => formatNumber(Math.round(mass_g / 10) / 100);

/** @param {string} variety */
export function varietyName(variety) {
  const key = `farmer.js.variety.${variety}`;
  const name = t(key);
  return name === key ? variety : name;
}

/**
 * `1 小时 24 分`, at least one minute.
 * @param {number} ms
 */
export function span(ms) {
  const minutes = Math.max(1, Math.floor(Math.abs(ms) / 60_000));
  const [h, m] = lang === "zh" ? ["小时", "分"] : ["h", "min"];
  const hours = Math.floor(minutes / 60);
  const parts = [hours ? `${hours}${NBSP}${h}` : "", minutes % 60 ? `${minutes % 60}${NBSP}${m}` : ""];
  return parts.filter(Boolean).join(NBSP);
}

/**
 * @param {Date} moment
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
const part = (moment, zone, options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options }).format(moment);

/**
 * `11 月 18 日` or `18 Nov`.
 * @param {number} moment
 * @param {string} zone
 */
export function day(moment, zone) {
  const date = new Date(moment);
  if (lang === "zh") {
    const [month, number] = [part(date, zone, { month: "numeric" }), part(date, zone, { day: "numeric" })];
    return `${month}${NBSP}月${NBSP}${number}${NBSP}日`;
  }
  return part(date, zone, { day: "numeric", month: "short" }).replace(" ", NBSP);
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/**
 * `11 月 18 日，星期三` or `Wed 18 Nov`.
 * @param {number} moment
 * @param {string} zone
 */
export function today(moment, zone) {
  const weekday = WEEKDAYS.indexOf(part(new Date(moment), zone, { weekday: "short" }));
  return t("farmer.js.date", { day: day(moment, zone), weekday: t(`farmer.js.weekday.${weekday}`) });
}

/**
 * @param {string | number} moment
 * @param {string} zone
 */
export const clock = (moment, zone) => formatClock(new Date(moment), zone);
