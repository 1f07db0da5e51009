// Receiving: every lot with its two-hour clock, the scale, the cooler, and the way onto the line.

import { el, formatClock, formatKg, formatSpan, postJson, svg, t } from "/web/shared/kit.js";
import { act, askWeight, button, nothing, varietyName } from "./desk.js";
import { giveUpButton } from "./filling.js";

const ALLOWED_PER_MILLE = 20;

/** @typedef {import("./types.js").Lot} Lot */

/**
 * @param {import("./types.js").View} view
 * @returns {[string, unknown, () => Node][]}
 */
export function dockRegions(view) {
  if (!view.lots.length) return [["alone", null, () => nothing("crate", "station.js.dock.none")]];
  return [
    [
      "lots",
      view.lots,
      () =>
        el(
          "section",
          { class: "dock" },
          el("h1", {}, t("station.js.dock.title")),
          el("ul", { class: "lots" }, ...[...view.lots].sort(byNeed).map((lot) => lotCard(lot, view.batch?.ref ?? ""))),
        ),
    ],
  ];
}

const NEED = ["created", "held", "received", "cooled", "consumed"];
/**
 * @param {Lot} a
 * @param {Lot} b
 */
const byNeed = (a, b) =>
  NEED.indexOf(a.state) - NEED.indexOf(b.state) || a.pick_ended_at.localeCompare(b.pick_ended_at);

/**
 * @param {Lot} lot
 * @param {string} current
 */
function lotCard(lot, current) {
  return el(
    "li",
    { class: "lot", "data-state": lot.state, "data-late": lot.clock.is_late && !lot.clock.is_stopped },
    clockOf(lot),
    el(
      "div",
      { class: "lot-what" },
      el("h2", {}, lot.number, el("span", { class: `pill ${pillOf(lot.state)}` }, t(`station.js.state.${lot.state}`))),
      el(
        "p",
        { class: "quiet" },
        `${varietyName(lot.variety)} · ${lot.plot} · ${t("station.js.dock.crates", { n: lot.crates.length })} · ${formatClock(lot.pick_ended_at)}`,
      ),
      el(
        "p",
        { class: "num lot-mass" },
        lot.received_g === null
          ? t("station.js.dock.picked", { mass: formatKg(lot.picked_g) })
          : t("station.js.dock.received", { mass: formatKg(lot.received_g) }),
      ),
      lot.held_reason ? el("p", { class: "lot-held num" }, whyHeld(lot)) : null,
    ),
    el("div", { class: "lot-do" }, ...doing(lot, current)),
  );
}

/** @param {Lot} lot */
function whyHeld(lot) {
  const off = (lot.received_g ?? lot.picked_g) - lot.picked_g;
  const allowed = Math.floor((lot.picked_g * ALLOWED_PER_MILLE) / 1000);
  if (Math.abs(off) <= allowed) return lot.held_reason;
  const difference = t("station.js.weigh.difference", {
    difference: `${off > 0 ? "+" : "−"}${formatKg(Math.abs(off))}`,
  });
  return `${difference} · ${t("station.js.weigh.expect", { mass: formatKg(lot.picked_g), allowed: formatKg(allowed) })}`;
}

/** @param {string} state */
const pillOf = (state) =>
  state === "held" ? "pill-bad" : state === "created" ? "pill-wait" : state === "consumed" ? "" : "pill-ok";

/**
 * @param {Lot} lot
 * @param {string} current
 * @returns {Node[]}
 */
function doing(lot, current) {
  if (lot.state === "created")
    return [button(t("station.js.dock.receive"), () => receive(lot), { kind: "push-main", mark: "scale" })];
  if (lot.state === "held") return [button(t("station.js.dock.again"), () => receive(lot), { mark: "scale" })];
  const made = [];
  if (lot.state === "received")
    made.push(button(t("station.js.dock.cool"), () => cool(lot), { kind: "push-main", mark: "snow" }));
  if (lot.batch === null && lot.state !== "consumed") {
    made.push(
      button(t("station.js.dock.open"), () => openBatch(lot), {
        kind: lot.state === "cooled" ? "push-main" : "push-line",
        mark: "camera",
      }),
    );
  } else if (lot.line?.is_open) {
    made.push(el("p", { class: "pill pill-live" }, t("station.js.line.on")));
    // The batch on the panel has its own way out there.
    const way = lot.batch === current ? null : giveUpButton(lot.line, lot.number);
    if (way) made.push(way);
  } else if (lot.batch === current && lot.state !== "consumed")
    made.push(el("p", { class: "pill pill-live" }, t("station.js.dock.on")));
  return made;
}

/** @param {Lot} lot */
function clockOf(lot) {
  const { minutes, limit_minutes, is_stopped } = lot.clock;
  const left = limit_minutes - minutes;
  const around = 2 * Math.PI * 52;
  const filled = Math.min(1, minutes / limit_minutes) * around;
  const state = left < 0 ? "over" : is_stopped ? "stopped" : left <= 20 ? "soon" : "";
  const ring = svg("svg", { class: `ring ${state}`, viewBox: "0 0 120 120", "aria-hidden": "true" });
  ring.append(
    svg("circle", { class: "ring-rail", cx: 60, cy: 60, r: 52 }),
    svg("circle", {
      class: "ring-fill",
      cx: 60,
      cy: 60,
      r: 52,
      transform: "rotate(-90 60 60)",
      "stroke-dasharray": `${filled} ${around}`,
    }),
  );
  const shown = is_stopped ? minutes : Math.abs(left);
  const word = is_stopped
    ? t("station.js.dock.cooled_in", { span: formatSpan(minutes * 60) })
    : t("station.js.dock.limit", { span: formatSpan(limit_minutes * 60) });
  return el(
    "div",
    { class: `clock2 ${state}` },
    el(
      "div",
      { class: "clock2-face" },
      ring,
      el(
        "p",
        { class: "num" },
        `${Math.floor(shown / 60)}:${String(shown % 60).padStart(2, "0")}`,
        el("small", {}, is_stopped ? "" : t(left < 0 ? "station.js.dock.over" : "station.js.dock.left")),
      ),
    ),
    el("p", { class: "quiet" }, word),
  );
}

/** @param {Lot} lot */
async function receive(lot) {
  const allowed = Math.floor((lot.picked_g * ALLOWED_PER_MILLE) / 1000);
  const grams = await askWeight({
    title: t("station.js.weigh.title", { lot: lot.number }),
    expect: t("station.js.weigh.expect", { mass: formatKg(lot.picked_g), allowed: formatKg(allowed) }),
    ok: "station.js.weigh.ok",
    check: (typed) => {
      const off = typed - lot.picked_g;
      const difference = t("station.js.weigh.difference", {
        difference: `${off > 0 ? "+" : off < 0 ? "−" : ""}${formatKg(Math.abs(off))}`,
      });
      return Math.abs(off) > allowed
        ? { text: `${difference} · ${t("station.js.weigh.hold")}`, state: "wait" }
        : { text: `${difference} · ${t("station.js.weigh.fits")}`, state: "ok" };
    },
  });
  if (grams === null) return;
  await act(
    () => postJson("/api/v1/station/receipts", { lot: lot.id, mass_g: grams }),
    (answer) =>
      answer.held_reason
        ? t("station.js.held", { lot: lot.number, reason: answer.held_reason })
        : t("station.js.received", { lot: lot.number, mass: formatKg(answer.received_g) }),
  );
}

/** @param {Lot} lot */
const cool = (lot) =>
  act(
    () => postJson("/api/v1/station/coolings", { lot: lot.id }),
    (answer) => t("station.js.cooled", { lot: lot.number, span: formatSpan(answer.minutes_from_pick * 60) }),
  );

/** @param {Lot} lot */
async function openBatch(lot) {
  const made = await act(
    () => postJson("/api/v1/station/batches", { lot: lot.id }),
    (answer) => t("station.js.opened", { ref: answer.ref }),
  );
  if (made) location.hash = "#/grade";
}
