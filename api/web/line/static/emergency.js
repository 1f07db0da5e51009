// Everything to reject. Pressing it is kept until the line program confirms it: a press is never lost because the
// program was away for a moment. Clearing is never repeated by itself.

import { el, request, t } from "/web/shared/kit.js";
import { isRefused, refusal, say } from "./desk.js";
import { holdButton } from "./hold.js";
import { icon } from "./icons.js";

const TRIGGER_MS = 800;
const CLEAR_MS = 2000;
const AGAIN_MS = 700;

let isWanted = false;
let isClearing = false;
let redraw = () => {};

/** @param {() => void} draw */
export const onEmergency = (draw) => {
  redraw = draw;
};

/** Whether it was pressed and the line program has not confirmed it. */
export const isUnconfirmed = () => isWanted;

/** @param {import("./types.js").State} state */
export const isEmergency = (state) => state.alarms.some((alarm) => alarm.kind === "emergency");

async function trigger() {
  if (isWanted) return;
  isWanted = true;
  redraw();
  while (isWanted) {
    try {
      await request("POST", "/emergency", { reason: "console" }, { timeout_ms: 2500 });
      isWanted = false;
      say(t("line.js.emergency.taken"), "wait");
    } catch (error) {
      if (isRefused(error)) {
        isWanted = false;
        say(refusal(error), "bad");
      } else await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
  redraw();
}

/** The line program says that the emergency stands, however it learned of it. */
export function confirmEmergency() {
  isWanted = false;
}

async function clear() {
  if (isClearing) return;
  isClearing = true;
  try {
    await request("POST", "/emergency/clear", {}, { timeout_ms: 6000 });
    say(t("line.js.emergency.cleared"));
  } catch (error) {
    say(refusal(error), "bad");
  } finally {
    isClearing = false;
  }
}

/** The band over everything while a press is not confirmed. */
export function unconfirmedBand() {
  const cancel = el(
    "button",
    { type: "button", class: "band-hush" },
    icon("cross"),
    el("span", {}, t("line.js.emergency.give_up")),
  );
  cancel.addEventListener("click", () => {
    isWanted = false;
    redraw();
  });
  return el(
    "section",
    { class: "band band-stop", "data-kind": "unconfirmed" },
    icon("stop", 32),
    el(
      "div",
      { class: "band-words" },
      el("h2", {}, t("line.js.emergency.unconfirmed")),
      el("p", {}, t("line.js.emergency.by_hand")),
    ),
    cancel,
  );
}

/** The small one that dialogs carry. */
export function smallEmergencyButton() {
  return holdButton({
    kind: "hold-stop hold-small",
    mark: "stop",
    words: t("line.js.emergency.trigger"),
    hint: t("line.js.hold.emergency", { n: 1 }),
    hold_ms: TRIGGER_MS,
    done: trigger,
  });
}

/** @param {boolean} isOn */
export function emergencyButton(isOn) {
  return isOn
    ? holdButton({
        id: "clear",
        kind: "hold-clear",
        mark: "play",
        words: t("line.js.emergency.clear"),
        hint: t("line.js.hold.seconds", { n: CLEAR_MS / 1000 }),
        hold_ms: CLEAR_MS,
        done: clear,
      })
    : holdButton({
        id: "emergency",
        kind: "hold-stop",
        mark: "stop",
        words: t("line.js.emergency.trigger"),
        hint: t("line.js.hold.emergency", { n: 1 }),
        hold_ms: TRIGGER_MS,
        done: trigger,
      });
}
