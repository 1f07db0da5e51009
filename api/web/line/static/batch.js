// A lot begins and ends with a scanned crate. Ending asks first, and takes the tiers' weights where they were weighed.

import { el, fill, formatKg, formatNumber, request, t } from "/web/shared/kit.js";
import { ask, askCode, button, formatCrates, lotName, mark, numberKeys, refusal, say, words } from "./desk.js";
import { icon } from "./icons.js";

/** @typedef {import("./types.js").Batch} Batch */
/** @typedef {{weighed_g: Record<string, number> | null, isNext: boolean, leaves?: boolean}} Ending */

const SLOW_MS = 30000;
let isBusy = false;

/**
 * Does one thing at a time, so that a double tap or a second scan cannot do it twice.
 * @param {() => Promise<void>} act
 */
async function once(act) {
  if (isBusy) return;
  isBusy = true;
  try {
    await act();
  } catch (error) {
    say(refusal(error), "bad");
  } finally {
    isBusy = false;
  }
}

/**
 * A crate was scanned or its code typed.
 * @param {string} scanned
 * @param {Batch | null} batch
 */
export function scan(scanned, batch) {
  if (document.querySelector("dialog[open]")) {
    say(t("line.js.scan.busy"), "wait");
    return;
  }
  if (batch) end(batch, scanned);
  else once(() => begin(scanned));
}

/** @param {string} scanned */
async function begin(scanned) {
  say(t("line.js.scan.looking", { code: scanned }), "wait");
  await request("POST", "/batches", { scanned }, { timeout_ms: SLOW_MS });
  say(t("line.js.scan.begun"));
}

/** @param {Batch | null} batch */
export async function typeCode(batch) {
  const code = await askCode({
    title: t(batch ? "line.js.scan.title_open" : "line.js.scan.title"),
    body: t("line.js.scan.typed"),
    label: t("line.js.scan.label"),
    ok: t("line.js.ok"),
  });
  if (code) scan(code, batch);
}

/**
 * @param {Batch} batch
 * @param {string | null} scanned the crate whose scan asks for the end
 */
export async function end(batch, scanned) {
  const ending = await askEnding(batch, scanned);
  if (!ending) return;
  await once(async () => {
    const left = ending.leaves ? { leaves_doubtful: true } : {};
    await request(
      "POST",
      `/batches/close?${new URLSearchParams({ opened_at: batch.opened_at })}`,
      { weighed_g: ending.weighed_g, ...left },
      { timeout_ms: SLOW_MS },
    );
    say(t("line.js.end.done", { lot: lotName(batch.lot) }));
    if (ending.isNext && scanned) await begin(scanned);
  });
}

/**
 * @param {Batch} batch
 * @param {string | null} scanned
 * @returns {Promise<Ending | null>}
 */
async function askEnding(batch, scanned) {
  /** @type {"camera" | "next" | "weigh" | "leave" | null} */
  const how = await ask(t("line.js.end.title", { lot: lotName(batch.lot) }), (finish) => {
    const choice = (
      /** @type {"camera" | "next" | "weigh" | "leave"} */ value,
      /** @type {string} */ name,
      /** @type {string} */ text,
      isMain = false,
    ) => {
      const one = el(
        "button",
        { type: "button", class: `huge${isMain ? " huge-main" : ""}`, id: `end-${value}` },
        icon(name),
        el("span", {}, text),
      );
      one.addEventListener("click", () => finish(value));
      return one;
    };
    return [
      scanned ? el("p", { class: "scanned" }, icon("scan"), el("span", { class: "mono" }, scanned)) : null,
      el(
        "p",
        { class: "num" },
        t(batch.received_g ? "line.js.end.body" : "line.js.end.body_unweighed", {
          n: formatNumber(batch.fruit),
          mass: formatCrates(batch.mass_g),
          received: formatCrates(batch.received_g),
        }),
      ),
      batch.doubtful
        ? el("p", { class: "wait-words" }, icon("warn"), t("line.js.end.doubtful", { n: batch.doubtful }))
        : null,
      el(
        "div",
        { class: "stack" },
        choice("camera", "check", t("line.js.end.camera"), true),
        choice("weigh", "scale", t("line.js.end.weigh")),
        scanned ? choice("next", "swap", t("line.js.end.next")) : null,
        batch.doubtful ? choice("leave", "cloud", t("line.js.end.leave")) : null,
      ),
    ];
  });
  if (!how) return null;
  if (how === "leave") return { weighed_g: null, isNext: scanned !== null, leaves: true };
  if (how !== "weigh") return { weighed_g: null, isNext: how === "next" };
  const weighed_g = await askWeights(batch);
  return weighed_g && { weighed_g, isNext: false };
}

/**
 * @param {Batch} batch
 * @returns {Promise<Record<string, number> | null>}
 */
function askWeights(batch) {
  const tiers = batch.tiers.filter((each) => each.fruit > 0);
  return ask(
    t("line.js.end.weigh"),
    (finish) => {
      /** @type {Map<string, string>} */
      const typed = new Map(tiers.map((each) => [each.tier, ""]));
      let at = tiers[0]?.tier ?? "";
      const grams = (/** @type {string} */ tier) => Math.round(Number(typed.get(tier) || "0") * 1000);
      const list = el("div", { class: "weights" });
      const sum = el("p", { class: "typed-verdict num", role: "status" });
      const done = el("button", { type: "button", class: "huge huge-main", id: "end-weighed" });
      const draw = () => {
        fill(
          list,
          ...tiers.map((each) => {
            const row = el(
              "button",
              { type: "button", class: "weight", "aria-pressed": String(each.tier === at), "data-tier": each.tier },
              mark(each.tier, "lg", words(each.name)),
              el(
                "span",
                { class: "weight-name" },
                words(each.name),
                el("small", { class: "num" }, t("line.js.end.seen", { mass: formatCrates(each.mass_g) })),
              ),
              el("b", { class: "num" }, typed.get(each.tier) || "–", el("small", {}, "kg")),
            );
            row.addEventListener("click", () => {
              at = each.tier;
              draw();
            });
            return row;
          }),
        );
        const all = tiers.reduce((total, each) => total + grams(each.tier), 0);
        const off = all - batch.received_g;
        sum.dataset.state = batch.received_g && Math.abs(off) * 50 > batch.received_g ? "wait" : "ok";
        sum.textContent = all
          ? t(batch.received_g ? "line.js.end.sum" : "line.js.end.sum_unweighed", {
              sum: formatKg(all),
              received: formatKg(batch.received_g),
              off: `${off < 0 ? "−" : "+"}${formatKg(Math.abs(off))}`,
            })
          : "";
        done.disabled = !tiers.every((each) => grams(each.tier) > 0);
        done.textContent = t("line.js.end.weighed");
      };
      const press = (/** @type {string} */ key) => {
        const old = typed.get(at) ?? "";
        if (key === "back") typed.set(at, old.slice(0, -1));
        else if (key === ".") typed.set(at, old.includes(".") ? old : `${old || "0"}.`);
        else if ((old.split(".")[1] ?? "").length < 3 && old.length < 9) typed.set(at, old === "0" ? key : old + key);
        draw();
      };
      const body = el("div", { class: "weigh" }, list, numberKeys(press));
      body.addEventListener("keydown", (event) => {
        const key = event.key === "Backspace" ? "back" : event.key === "," ? "." : event.key;
        if (/^([0-9.]|back)$/.test(key)) press(key);
      });
      done.addEventListener("click", () =>
        finish(Object.fromEntries(tiers.map((each) => [each.tier, grams(each.tier)]))),
      );
      draw();
      return [body, sum, done];
    },
    "ask-wide",
  );
}

/** What stands where no lot is on the line. */
export function startPanel() {
  return el(
    "div",
    { class: "calm start" },
    icon("scan", 32),
    el("h2", {}, t("line.js.start.title")),
    el("p", { class: "quiet" }, t("line.js.start.body")),
    button(t("line.js.scan.type"), () => typeCode(null), { kind: "push-main", icon: "keyboard", id: "type-code" }),
  );
}
