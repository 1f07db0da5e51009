// Alarms: across the whole width until what caused them is over; their sound can be silenced once each.

import { el, fill, icon, need, t } from "/web/shared/kit.js";
import { calibrate } from "./grade.js";

const place = need("#alarms");
const KEPT = "guoyuan.station.silenced";
/** @type {AudioContext | null} */
let audio = null;
/** @type {import("./types.js").Alarm[]} */
let standing = [];

/** @returns {Set<string>} */
function silenced() {
  try {
    return new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
  } catch {
    return new Set();
  }
}

/** @param {string} key */
function silence(key) {
  localStorage.setItem(KEPT, JSON.stringify([...silenced(), key].slice(-50)));
  draw();
}

/** @param {import("./types.js").Alarm[]} alarms */
export function showAlarms(alarms) {
  standing = alarms;
  draw();
}

function draw() {
  const quiet = silenced();
  document.body.classList.toggle(
    "alarmed",
    standing.some((alarm) => alarm.is_grave && !quiet.has(alarm.key)),
  );
  fill(place, ...standing.slice(0, 2).map((alarm) => strip(alarm, quiet.has(alarm.key))));
}

/**
 * @param {import("./types.js").Alarm} alarm
 * @param {boolean} isQuiet
 */
function strip(alarm, isQuiet) {
  const facts = { subject: alarm.subject, minutes: alarm.minutes };
  const mute = el(
    "button",
    { type: "button", class: "alarm-mute" },
    icon("bell-off"),
    el("span", {}, t("station.js.alarm.silence")),
  );
  mute.addEventListener("click", () => silence(alarm.key));
  const isScale = alarm.kind.startsWith("calibration");
  const tab = alarm.kind === "line_silent" ? "grade" : "dock";
  const go = el(
    "button",
    { type: "button", class: "alarm-go" },
    icon(isScale ? "target" : tab === "grade" ? "camera" : "crate"),
    el("span", {}, t(isScale ? "station.js.alarm.go.calibrate" : `station.js.alarm.go.${tab}`)),
  );
  go.addEventListener("click", () => {
    if (isScale) calibrate();
    else location.hash = `#/${tab}`;
  });
  return el(
    "section",
    { class: `alarm${alarm.is_grave ? " grave" : ""}${isQuiet ? " hushed" : ""}`, role: "alert" },
    icon("warn", 32),
    el(
      "div",
      {},
      el("h2", {}, t(`station.js.alarm.${alarm.kind}`, facts)),
      isQuiet ? null : el("p", {}, t(`station.js.alarm.body.${alarm.kind}`)),
    ),
    isQuiet ? null : mute,
    go,
  );
}

/** Two short tones while a grave alarm stands that nobody silenced. Browsers allow sound after a touch. */
function sound() {
  const quiet = silenced();
  if (!audio || !standing.some((alarm) => alarm.is_grave && !quiet.has(alarm.key))) return;
  for (const [start, pitch] of [
    [0, 880],
    [0.22, 660],
  ]) {
    const tone = audio.createOscillator();
    const loud = audio.createGain();
    tone.frequency.value = pitch ?? 880;
    loud.gain.setValueAtTime(0.08, audio.currentTime + (start ?? 0));
    loud.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + (start ?? 0) + 0.18);
    tone.connect(loud).connect(audio.destination);
    tone.start(audio.currentTime + (start ?? 0));
    tone.stop(audio.currentTime + (start ?? 0) + 0.2);
  }
}

addEventListener("pointerdown", () => {
  audio ??= new AudioContext();
});
setInterval(sound, 6000);
