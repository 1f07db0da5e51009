// The console of a belt: draws what the line program says stands, and draws again only what changed. A finger on a
// button is never left on a button that was replaced under it. Works with the server away and through a restart of
// the line program; only what stands on this computer is needed.

import { el, fill, formatClock, formatNumber, need, pageData, t } from "/web/shared/kit.js";
import { isSoundOn, setSound, showAlarms } from "./alarms.js";
import { end, scan, startPanel, typeCode } from "./batch.js";
import { showCounters, showLast } from "./counters.js";
import { ask, button, keepInReach, lotName, wordOr, words } from "./desk.js";
import {
  confirmEmergency,
  emergencyButton,
  isEmergency,
  isUnconfirmed,
  onEmergency,
  smallEmergencyButton,
  unconfirmedBand,
} from "./emergency.js";
import { follow } from "./feed.js";
import { icon } from "./icons.js";
import { calmPanel, fillSide, judgePanel, judgeStanding, onJudged, takeQueue, unsentLine } from "./judge.js";
import { showPicture, tryStream } from "./picture.js";
import { onScanned } from "./scan.js";

/** @typedef {import("./types.js").State} State */

/** @type {State} */
let state = pageData("state");
/** @type {boolean | null} */
let isThere = null;
let away_since = new Date();
let ahead_ms = Date.parse(state.as_of) - Date.now();
/** @type {Record<string, string>} */
const drawn = {};

/**
 * @param {string} name
 * @param {unknown} standing
 * @param {() => void} make
 */
function region(name, standing, make) {
  const text = JSON.stringify(standing);
  if (drawn[name] === text) return;
  drawn[name] = text;
  make();
}

function draw() {
  const { batch } = state;
  region(
    "cells",
    [
      batch?.lot,
      batch?.crop,
      batch?.variety,
      batch?.standard,
      cameraText(),
      state.source.state,
      state.calibration,
      state.delivery,
      state.outputs,
    ],
    cells,
  );
  showAlarms(state.alarms, topBands(), JSON.stringify([isThere === false && away_since, isUnconfirmed()]));
  region("side", batch ? judgeStanding(batch) : null, () => {
    const panel = batch ? (judgePanel(batch) ?? calmPanel()) : startPanel();
    const line = unsentLine();
    fillSide(...(line ? [line] : []), panel);
  });
  region("foot", [batch?.opened_at, isEmergency(state), isUnconfirmed()], foot);
  showCounters(state);
  showLast(state);
  showPicture(state, isThere !== false);
  document.body.classList.toggle("away", isThere === false);
  document.body.classList.toggle("idle", !batch);
  document.body.classList.toggle("emergency", isEmergency(state));
}

// --- the strip ------------------------------------------------------------------------------------

const fpsOf = () => Math.round(state.source.fps);

const LEFT_OUT_MS = 60_000;
const LEFT_OUT_TOLD = 0.02;
/** @type {{at: number, frames: number}[]} */
let left_out = [];

/** Frames that were not looked at since the line began: too many at once, or unusable. */
const leftOut = () => (state.source.dropped ?? 0) + (state.source.skipped ?? 0);

/** Remembers how many were left out, to tell the share of the last minute. */
function remember() {
  const at = Date.parse(state.as_of);
  left_out = left_out.filter((each) => at - each.at < LEFT_OUT_MS && each.at <= at && each.frames <= leftOut());
  left_out.push({ at, frames: leftOut() });
}

/** The share of the last minute's frames that were left out, where it is worth telling; 0 otherwise. */
function shareLeftOut() {
  const first = left_out[0];
  const span_s = first ? (Date.parse(state.as_of) - first.at) / 1000 : 0;
  if (!first || span_s < 5) return 0;
  const frames = leftOut() - first.frames;
  const share = frames / Math.max(1, frames + state.source.fps * span_s);
  return share < LEFT_OUT_TOLD ? 0 : share;
}

/** What the camera sends, and how much of it is left out. */
function cameraText() {
  const { source } = state;
  if (source.state !== "running") return t(`line.js.source.${source.state}`);
  const fps = t("line.js.fps", { fps: formatNumber(fpsOf()) });
  const share = shareLeftOut();
  return share ? t("line.js.left_out.share", { fps, percent: Math.round(share * 100) }) : fps;
}

function cells() {
  const { batch, source, calibration, delivery, outputs } = state;
  const lost = outputs.filter((each) => each.state === "lost");
  const until = calibration.valid_until;
  fill(
    need("#cells"),
    cell("lot", t("line.js.top.lot"), batch ? lotName(batch.lot) : t("line.js.top.no_lot")),
    batch ? cell("standard", [cropName(batch.crop), batch.variety].filter(Boolean).join(" · "), batch.standard.id) : "",
    cell(
      "camera",
      t("line.js.top.camera"),
      cameraText(),
      source.state === "running" ? (shareLeftOut() ? "wait" : "good") : source.state === "lost" ? "bad" : "wait",
      "camera",
    ),
    cell(
      "calibration",
      t("line.js.top.calibration"),
      until && (calibration.state === "valid" || calibration.state === "expires_soon")
        ? untilText(until)
        : t(`line.js.calibration.${calibration.state}`),
      { valid: "good", expires_soon: "wait", expired: "bad", missing: "bad" }[calibration.state],
      "target",
    ),
    cell(
      "delivery",
      t("line.js.top.delivery"),
      deliveryText(),
      { up_to_date: "good", waiting: "calm", offline: "calm", off: "calm", refused: "bad" }[delivery.state],
      delivery.state === "offline" ? "offline" : "cloud",
    ),
    cell(
      "outputs",
      t("line.js.top.outputs"),
      lost.length
        ? t("line.js.output.lost", { name: lost.map((each) => each.name).join(", ") })
        : outputs.some((each) => each.state === "ready")
          ? t("line.js.output.ready")
          : t("line.js.output.off"),
      lost.length ? "bad" : outputs.some((each) => each.state === "ready") ? "good" : "calm",
      "route",
    ),
  );
}

/** A time within a day is a clock, a later one a number of days. @param {string} iso */
function untilText(iso) {
  const days = Math.floor((Date.parse(iso) - Date.now() - ahead_ms) / 86_400_000);
  if (days > 366) return t("line.js.calibration.valid");
  if (days < 1) return t("line.js.calibration.until_clock", { time: formatClock(iso) });
  return t("line.js.calibration.until", { time: t("line.js.days", { n: days }) });
}

function deliveryText() {
  const { state: how, waiting } = state.delivery;
  if (how === "up_to_date") return t("line.js.delivery.up_to_date");
  if (how === "off" && !waiting) return t("line.js.delivery.off");
  return t(`line.js.delivery.${how}.n`, { n: formatNumber(waiting) });
}

/** @param {string} crop */
const cropName = (crop) => wordOr(`line.js.crop.${crop}`, crop);

/**
 * @param {string} name
 * @param {string} label
 * @param {string} value
 * @param {string} [how] good, calm, wait, bad
 * @param {string} [picture]
 */
function cell(name, label, value, how = "", picture = "") {
  const shown = how === "bad" ? "warn" : how === "wait" ? "clock" : picture;
  return el(
    "p",
    { class: `cell cell-${name}`, "data-how": how || undefined },
    shown && icon(shown, 20),
    el("span", {}, label),
    el("b", { class: "num" }, value),
  );
}

// --- bands above the alarms --------------------------------------------------------------------------

function topBands() {
  const bands = [];
  if (isUnconfirmed()) bands.push(unconfirmedBand());
  if (isThere === false) {
    bands.push(
      el(
        "section",
        { class: "band band-stop", "data-kind": "away" },
        icon("no-signal", 32),
        el(
          "div",
          { class: "band-words" },
          el("h2", {}, t("line.js.away.title")),
          el("p", {}, t("line.js.away.body", { time: formatClock(away_since) })),
        ),
        el("ol", { class: "band-steps" }, ...[1, 2, 3].map((n) => el("li", {}, t(`line.js.away.do.${n}`)))),
      ),
    );
  }
  return bands;
}

// --- the foot -------------------------------------------------------------------------------------

function foot() {
  const { batch } = state;
  const isOn = isEmergency(state);
  if (isOn) confirmEmergency();
  const focused = document.activeElement?.id;
  fill(
    need("#foot"),
    batch
      ? button(t("line.js.scan.type_short"), () => typeCode(state.batch), {
          kind: "push-line foot-scan",
          icon: "scan",
          id: "scan-code",
        })
      : "",
    batch
      ? button(t("line.js.end.button"), () => state.batch && end(state.batch, null), {
          kind: "push-line foot-end",
          icon: "check",
          id: "end-lot",
        })
      : "",
    emergencyButton(isOn || isUnconfirmed()),
  );
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// --- the system sheet -------------------------------------------------------------------------------

function system() {
  ask(
    t("line.js.system.title"),
    () => {
      const sound = button("", () => {}, { kind: "push-line", icon: "bell" });
      const theme = button("", () => {}, { kind: "push-line", icon: "sun" });
      const isLight = () => document.documentElement.dataset.theme === "light";
      const name = () => {
        need("span", sound).textContent = t(isSoundOn() ? "line.js.system.sound_on" : "line.js.system.sound_off");
        need("span", theme).textContent = t(isLight() ? "line.js.system.to_dark" : "line.js.system.to_light");
        sound.setAttribute("aria-pressed", String(isSoundOn()));
      };
      sound.addEventListener("click", () => {
        setSound(!isSoundOn());
        name();
        draw();
      });
      theme.addEventListener("click", () => {
        const next = isLight() ? "dark" : "light";
        document.documentElement.dataset.theme = next;
        // biome-ignore lint/suspicious/noDocumentCookie: the server draws the first view in the theme the cookie names
        document.cookie = `guoyuan_line_theme=${next}; max-age=31536000; path=/; samesite=lax`;
        name();
      });
      name();
      const { source, calibration, delivery, outputs, marks } = state;
      /** @type {[string, string][]} */
      const rows = [
        [t("line.js.system.line"), [state.line, state.house].filter(Boolean).join(" · ")],
        [
          t("line.js.top.camera"),
          [
            source.name,
            t(`line.js.source.${source.state}`),
            source.dropped ? t("line.js.left_out.dropped", { n: formatNumber(source.dropped) }) : "",
            source.skipped ? t("line.js.left_out.skipped", { n: formatNumber(source.skipped) }) : "",
          ]
            .filter(Boolean)
            .join(" · "),
        ],
        [
          t("line.js.top.calibration"),
          [
            calibration.name,
            t(`line.js.calibration.${calibration.state}`),
            calibration.valid_until ? dateText(calibration.valid_until) : "",
          ]
            .filter(Boolean)
            .join(" · "),
        ],
        [
          t("line.js.top.delivery"),
          [
            deliveryText(),
            delivery.delivered_at ? t("line.js.delivery.at", { time: formatClock(delivery.delivered_at) }) : "",
            delivery.error ?? "",
          ]
            .filter(Boolean)
            .join(" · "),
        ],
        ...outputs.map(
          (each) =>
            /** @type {[string, string]} */ ([
              `${t("line.js.top.outputs")}: ${each.name}`,
              [t(`line.js.output.${each.state}`, { name: each.name }), each.detail].filter(Boolean).join(" · "),
            ]),
        ),
      ];
      if (marks)
        rows.push([
          t("line.js.system.marks"),
          t("line.js.system.looked_again", {
            agreed: formatNumber(marks.agreed),
            hollows: formatNumber(marks.hollows),
            disputed: formatNumber(marks.disputed),
            late: formatNumber(marks.too_late),
          }),
        ]);
      for (const alarm of state.alarms)
        rows.push([
          wordOr(`line.js.alarm.${alarm.kind}`, alarm.kind),
          `${words(alarm.text)} · ${t("line.js.alarm.since", { time: formatClock(alarm.since) })}`,
        ]);
      return [
        el(
          "dl",
          { class: "sheet" },
          ...rows.map(([term, text]) => el("div", {}, el("dt", {}, term), el("dd", {}, text))),
        ),
        el("h3", {}, t("line.js.help.title")),
        el("ul", { class: "help" }, ...[1, 2, 3, 4, 5].map((n) => el("li", {}, t(`line.js.help.${n}`)))),
        el("div", { class: "pair" }, sound, theme),
      ];
    },
    "ask-wide",
  );
}

/** @param {string} iso */
const dateText = (iso) => `${new Date(iso).toISOString().slice(0, 10)} ${formatClock(iso)}`;

// --- all together -----------------------------------------------------------------------------------

const menu = need("#system");
menu.hidden = false;
menu.addEventListener("click", system);
onJudged(draw);
onEmergency(draw);
keepInReach(smallEmergencyButton);
onScanned((code) => scan(code, state.batch));
follow(
  (now) => {
    state = now;
    ahead_ms = Date.parse(now.as_of) - Date.now();
    remember();
    takeQueue(now, true);
    draw();
  },
  (now) => {
    if (now) tryStream();
    else away_since = new Date(Date.now() + ahead_ms);
    isThere = now;
    takeQueue(state, now);
    draw();
  },
);

const clock = need("#clock");
setInterval(() => {
  clock.textContent = formatClock(new Date(Date.now() + ahead_ms));
  takeQueue(state, isThere === true);
  draw();
}, 500);
clock.textContent = formatClock(new Date(Date.now() + ahead_ms));
takeQueue(state, false);
draw();
document.documentElement.dataset.ready = "";
