// Alarms: across the whole width until what caused them is over. A stop is red, large and says what to do; a shape
// and words say the same as the colour. New ones are read aloud once; sounds are off until somebody wants them.

import { el, fill, formatClock, need, t } from "/web/shared/kit.js";
import { wordOr, words } from "./desk.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Alarm} Alarm */

const place = need("#bands");
const aloud = need("#aloud");
const murmur = need("#murmur");
const SOUND = "guoyuan.line.sound";
const STEPS = 3;
/** @type {Set<string>} */
let known = new Set();
/** @type {Set<string>} */
const hushed = new Set();
/** @type {Alarm[]} */
let standing = [];
/** @type {AudioContext | null} */
let audio = null;
let drawn = "";

export const isSoundOn = () => localStorage.getItem(SOUND) === "on";

/** @param {boolean} isOn */
export function setSound(isOn) {
  localStorage.setItem(SOUND, isOn ? "on" : "off");
  drawn = "";
  if (!isOn) return;
  audio ??= new AudioContext();
  tone([[0, 660]]);
}

/** @param {Alarm} alarm */
const keyOf = (alarm) => `${alarm.id} ${alarm.level} ${alarm.since}`;

/** @param {Alarm} alarm */
const nameOf = (alarm) => wordOr(`line.js.alarm.${alarm.id}`, wordOr(`line.js.alarm.${alarm.kind}`, words(alarm.text)));

/**
 * @param {Alarm[]} alarms
 * @param {Node[]} more bands that stand above all alarms
 * @param {string} moreKey changes when `more` does
 */
export function showAlarms(alarms, more, moreKey) {
  standing = [...alarms].sort((a, b) => Number(b.level === "stop") - Number(a.level === "stop"));
  const now = new Set(standing.map(keyOf));
  for (const alarm of standing) {
    if (known.has(keyOf(alarm))) continue;
    (alarm.level === "stop" ? aloud : murmur).textContent = `${nameOf(alarm)}. ${words(alarm.text)}`;
    if (alarm.level === "stop") tone(TWO);
  }
  if (known.size && !now.size && standing.length === 0) murmur.textContent = t("line.js.alarm.over");
  known = now;
  const state = JSON.stringify([standing, moreKey, [...hushed], isSoundOn()]);
  if (state === drawn) return;
  drawn = state;
  const stops = standing.filter((alarm) => alarm.level === "stop");
  const warnings = standing.filter((alarm) => alarm.level !== "stop");
  document.body.classList.toggle("alarmed", stops.length > 0 || more.length > 0);
  fill(place, ...more, ...stops.slice(0, 1).map(stopBand), slimBands([...stops.slice(1), ...warnings]));
}

/** @param {Alarm} alarm */
function stopBand(alarm) {
  const steps = Array.from({ length: STEPS }, (_, i) => wordOr(`line.js.do.${alarm.kind}.${i + 1}`, "")).filter(
    Boolean,
  );
  const isQuiet = hushed.has(keyOf(alarm)) || !isSoundOn();
  const hush = el(
    "button",
    { type: "button", class: "band-hush" },
    icon("bell-off"),
    el("span", {}, t("line.js.alarm.silence")),
  );
  hush.addEventListener("click", () => {
    hushed.add(keyOf(alarm));
    hush.remove();
  });
  return el(
    "section",
    { class: "band band-stop", "data-kind": alarm.kind },
    icon("stop", 32),
    el(
      "div",
      { class: "band-words" },
      el("h2", {}, nameOf(alarm)),
      el(
        "p",
        {},
        words(alarm.text),
        " · ",
        el("time", { class: "num" }, t("line.js.alarm.since", { time: formatClock(alarm.since) })),
      ),
    ),
    steps.length
      ? el(
          "ol",
          { class: "band-steps", "aria-label": t("line.js.alarm.do") },
          ...steps.map((step) => el("li", {}, step)),
        )
      : null,
    isQuiet ? null : hush,
  );
}

const ABREAST = 3;

/** The lesser alarms side by side: more of them must not push the picture away. @param {Alarm[]} alarms */
function slimBands(alarms) {
  const rest = alarms.length - ABREAST;
  return el(
    "div",
    { class: "chips" },
    ...alarms.slice(0, ABREAST).map(slimBand),
    rest > 0 ? el("p", { class: "band band-slim band-warning more num" }, `+${rest}`) : null,
  );
}

/** @param {Alarm} alarm */
function slimBand(alarm) {
  return el(
    "section",
    { class: `band band-slim band-${alarm.level}`, "data-kind": alarm.kind },
    icon(alarm.level === "stop" ? "stop" : "warn"),
    el("p", {}, el("b", {}, nameOf(alarm)), " ", words(alarm.text)),
    el("time", { class: "num" }, formatClock(alarm.since)),
  );
}

/** @type {[number, number][]} */
const TWO = [
  [0, 880],
  [0.22, 660],
];

/** @param {[number, number][]} notes seconds from now, hertz */
function tone(notes) {
  if (!isSoundOn() || !audio) return;
  for (const [start, pitch] of notes) {
    const voice = audio.createOscillator();
    const loud = audio.createGain();
    voice.frequency.value = pitch;
    loud.gain.setValueAtTime(0.1, audio.currentTime + start);
    loud.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + start + 0.18);
    voice.connect(loud).connect(audio.destination);
    voice.start(audio.currentTime + start);
    voice.stop(audio.currentTime + start + 0.2);
  }
}

/** One soft note: a doubtful fruit waits. */
export const chime = () => tone([[0, 520]]);

// Browsers allow sound after a touch only.
addEventListener("pointerdown", () => {
  if (isSoundOn()) audio ??= new AudioContext();
});
setInterval(() => {
  if (standing.some((alarm) => alarm.level === "stop" && !hushed.has(keyOf(alarm)))) tone(TWO);
}, 6000);
