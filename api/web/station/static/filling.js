// A batch that a line fills: what has arrived, what was refused, and its end without the line.

import { el, formatClock, formatNumber, icon, pageData, postJson, relativeTime, t, tierMark } from "/web/shared/kit.js";
import { act, ask, button } from "./desk.js";

/** @typedef {import("./types.js").Batch} Batch */
/** @typedef {import("./types.js").LineFill} LineFill */

const REASONS = ["computer-lost", "records-lost", "line-stopped"];
const isManager = pageData("is_manager") === true;

/**
 * Returns what stands where a photograph would: the newest fruit, how many arrived, when, and what was refused.
 * @param {Batch} batch
 * @param {LineFill} line
 */
export function fillingOf(batch, line) {
  return el(
    "figure",
    { class: "view filling" },
    el(
      "header",
      { class: "filling-head" },
      icon("camera", 32),
      el(
        "h2",
        {},
        t("station.js.line.title", { line: line.line }),
        el("small", {}, t("station.js.line.run", { run: line.run })),
      ),
      el("p", { class: "filling-sum num" }, el("b", {}, formatNumber(line.arrived)), el("span", {}, sumOf(line))),
    ),
    el(
      "ul",
      { class: "arrived", "aria-label": t("station.js.line.latest") },
      ...batch.latest.map((fruit) =>
        el(
          "li",
          {},
          el("img", { src: fruit.crop, alt: t("station.js.judge.where", { number: fruit.number }) }),
          el(
            "p",
            { class: "num" },
            tierMark(fruit.tier),
            el("span", { class: "arrived-wide" }, Math.round(fruit.width_um / 1000), el("small", {}, "mm")),
            el("span", {}, fruit.mass_g, el("small", {}, "g")),
          ),
        ),
      ),
    ),
    refusedOf(line),
    el("figcaption", { class: "under" }, icon("clock", 20), el("span", { class: "num" }, lastOf(line))),
  );
}

/** @param {LineFill} line */
function sumOf(line) {
  if (line.given_up_at)
    return t("station.js.line.given_up", {
      time: formatClock(line.given_up_at),
      reason: t(`station.js.line.give_up.${line.given_up_reason ?? "line-stopped"}`),
    });
  if (line.expected === null) return t("station.js.line.open");
  const facts = { all: formatNumber(line.expected), gaps: formatNumber(line.gaps) };
  return t(line.gaps ? "station.js.line.ended_gaps" : "station.js.line.whole", facts);
}

/** @param {LineFill} line */
const lastOf = (line) =>
  line.arrived_at
    ? t("station.js.line.last", { time: formatClock(line.arrived_at), ago: relativeTime(line.arrived_at) })
    : t("station.js.line.none");

/** @param {LineFill} line */
function refusedOf(line) {
  if (!line.refusals) return null;
  const more = line.refusals - line.refused.length;
  return el(
    "section",
    { class: "refused" },
    el("h3", {}, icon("warn", 20), t("station.js.line.refused", { n: line.refusals })),
    el(
      "ul",
      {},
      ...line.refused.map((each) =>
        el(
          "li",
          { title: each.reason },
          el("b", { class: "num" }, t("station.js.line.refused.number", { number: each.number })),
          " ",
          t(`station.js.line.refused.${each.code}`),
        ),
      ),
      more > 0 ? el("li", { class: "quiet" }, t("station.js.line.refused.more", { n: more })) : null,
    ),
  );
}

/**
 * Returns the person's side of a batch where nobody is asked anything, with what can be done below it.
 * @param {Batch} batch
 * @param {{ mark: string, title: string, body: string | null }} told
 * @param {...(Node | null)} below
 */
export function calmPanel(batch, { mark, title, body }, ...below) {
  return el(
    "aside",
    { class: "judge judge-empty" },
    el(
      "div",
      { class: "calm" },
      icon(mark, 32),
      el("h2", {}, title),
      body === null ? null : el("p", { class: "quiet" }, body),
      batch.judged ? el("p", { class: "num" }, t("station.js.judge.none.judged", { n: batch.judged })) : null,
    ),
    ...below,
  );
}

/**
 * Returns the person's side of a batch that a line still fills.
 * @param {Batch} batch
 * @param {LineFill} line
 */
export function waitingPanel(batch, line) {
  return calmPanel(
    batch,
    { mark: "camera", title: t("station.js.line.wait.title"), body: t("station.js.line.wait.body") },
    isManager
      ? giveUpButton(line, batch.lot_number)
      : el("p", { class: "quiet" }, t("station.js.line.give_up.manager")),
  );
}

/**
 * The way out for a manager, or nothing for anybody else or where the line has ended the batch itself.
 * @param {LineFill} line
 * @param {string} lot
 */
export function giveUpButton(line, lot) {
  if (!isManager || !line.is_open || line.expected !== null) return null;
  return button(t("station.js.line.give_up"), () => giveUp(line, lot), { kind: "push-line", mark: "cross" });
}

/**
 * @param {LineFill} line
 * @param {string} lot
 */
async function giveUp(line, lot) {
  /** @type {string | null} */
  const reason = await ask(t("station.js.line.give_up.title", { lot }), (finish) => {
    let chosen = "";
    const n = formatNumber(line.arrived);
    const done = el(
      "button",
      { type: "button", class: "huge huge-stop", disabled: true },
      t("station.js.line.give_up.ok", { n }),
    );
    done.addEventListener("click", () => finish(chosen));
    const choices = REASONS.map((name) => {
      const made = el(
        "button",
        { type: "button", class: "huge choice", "aria-pressed": "false" },
        t(`station.js.line.give_up.${name}`),
      );
      made.addEventListener("click", () => {
        chosen = name;
        done.disabled = false;
        for (const each of choices) each.setAttribute("aria-pressed", String(each === made));
      });
      return made;
    });
    return [
      el("p", {}, t("station.js.line.give_up.body", { n })),
      el("p", { class: "quiet" }, t("station.js.line.give_up.why")),
      el("div", { class: "stack" }, ...choices),
      done,
    ];
  });
  if (!reason) return;
  const made = await act(
    () => postJson(`/api/v1/station/batches/${encodeURIComponent(line.ref)}/give-up`, { reason }),
    (answer) => t("station.js.line.give_up.done", { n: formatNumber(answer.fruit) }),
  );
  if (made) location.hash = "#/grade";
}
