// How much of what, how fast: counters per tier with their lanes, fruit per minute with the last ten minutes, and
// the fruit that passed last. Minutes the page did not see are gaps in the line, not a straight line across them.

import { el, fill, formatClock, formatNumber, formatYuan, need, svg, t } from "/web/shared/kit.js";
import { ask, button, formatCrates, mark, wordOr, words } from "./desk.js";
import { icon } from "./icons.js";
import { correct } from "./judge.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Batch} Batch */
/** @typedef {import("./types.js").Passed} Passed */

const WINDOW_MS = 600_000;
const EVERY_MS = 5000;
const GAP_MS = 16_000;
const KEPT = "guoyuan.line.rates";
const LAST_MS = 1000;
const LAST_MOST = 16;

/** @type {{batch: string, points: [number, number][]}} */
let rates = loadRates();
/** @type {Map<string, string>} */
const drawn = new Map();

function loadRates() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (kept && Array.isArray(kept.points)) return kept;
  } catch {
    // Unreadable: begin again.
  }
  return { batch: "", points: [] };
}

/**
 * Draws a region when what it shows has changed.
 * @param {string} selector
 * @param {unknown} standing
 * @param {() => (Node | string)[]} make
 */
function region(selector, standing, make) {
  const text = JSON.stringify(standing);
  if (drawn.get(selector) === text) return;
  drawn.set(selector, text);
  fill(need(selector), ...make());
}

/** @param {State} state */
export function showCounters(state) {
  const { batch } = state;
  region("#counters", batch?.tiers, () => (batch ? [counters(batch)] : []));
  remember(state);
  const points = rates.points.length;
  region(
    "#pace",
    batch && [
      batch.rate_per_min,
      batch.fruit,
      batch.mass_g,
      batch.doubtful,
      batch.rejected,
      batch.weighed,
      batch.near,
      batch.lost,
      points,
      rates.points.at(-1),
    ],
    () => (batch ? pace(batch, Date.parse(state.as_of)) : []),
  );
}

/** @param {Batch} batch */
function counters(batch) {
  const all = batch.tiers.reduce((sum, each) => sum + each.fruit, 0);
  return el(
    "ul",
    { class: `counters counters-${Math.min(6, batch.tiers.length)}` },
    ...batch.tiers.map((each) => {
      const share = all ? each.fruit / all : 0;
      return el(
        "li",
        { class: "counter", "data-tier": each.tier },
        el(
          "p",
          { class: "counter-name" },
          mark(each.tier, "lg", words(each.name)),
          el("span", {}, words(each.name)),
          each.lane === null
            ? isWired(batch)
              ? el("span", { class: "lane lane-none" }, t("line.js.no_lane"))
              : null
            : el(
                "span",
                { class: "lane num" },
                icon("arrow-right", 16),
                el("span", { class: "lane-long" }, laneText(each.lane)),
                el("span", { class: "lane-short", "aria-hidden": "true" }, each.lane),
              ),
        ),
        el("b", { class: "num counter-big" }, formatNumber(each.fruit)),
        el(
          "p",
          { class: "counter-share num" },
          svg(
            "svg",
            { class: "share", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
            svg("rect", { class: "share-rail", width: 100, height: 6, rx: 3 }),
            svg("rect", { class: "share-fill", width: (share * 100).toFixed(1), height: 6, rx: 3 }),
          ),
          `${(share * 100).toFixed(1)}`,
          el("small", {}, "%"),
        ),
        el(
          "p",
          { class: "counter-more num" },
          el("span", {}, formatCrates(each.mass_g)),
          each.price_fen ? el("span", { class: "quiet" }, `¥${formatNumber(Math.round(each.price_fen / 100))}`) : null,
        ),
      );
    }),
  );
}

/** @param {State} state */
function remember(state) {
  const ref = state.batch?.opened_at ?? "";
  if (rates.batch !== ref) rates = { batch: ref, points: [] };
  if (!state.batch) return;
  const at = Date.parse(state.as_of);
  const last = rates.points.at(-1);
  if (last && at - last[0] < EVERY_MS) return;
  rates.points = [
    ...rates.points.filter(([when]) => at - when < WINDOW_MS && when < at),
    [at, state.batch.rate_per_min],
  ];
  sessionStorage.setItem(KEPT, JSON.stringify(rates));
}

/** @param {Batch} batch @param {number} now */
function pace(batch, now) {
  return [
    el(
      "p",
      { class: "pace-now" },
      el("b", { class: "num" }, formatNumber(Math.round(batch.rate_per_min))),
      el("span", {}, t("line.js.pace.unit")),
    ),
    sparkline(now, batch.rate_per_min),
    el(
      "dl",
      { class: "sums num" },
      el("div", {}, el("dt", {}, t("line.js.pace.fruit")), el("dd", {}, formatNumber(batch.fruit))),
      el("div", {}, el("dt", {}, t("line.js.pace.doubtful")), el("dd", {}, formatNumber(batch.doubtful))),
      el("div", {}, el("dt", {}, t("line.js.pace.rejected")), el("dd", {}, formatNumber(batch.rejected))),
      batch.weighed
        ? el("div", {}, el("dt", {}, t("line.js.pace.weighed")), el("dd", {}, formatNumber(batch.weighed)))
        : null,
      batch.near?.fruit
        ? el(
            "div",
            { title: t("line.js.pace.near.why") },
            el("dt", {}, t("line.js.pace.near")),
            el("dd", {}, el("small", {}, `−${formatYuan(batch.near.fen)}`), formatNumber(batch.near.fruit)),
          )
        : null,
    ),
    ...(batch.lost?.fruit ? [astray(batch.lost)] : []),
    batch.received_g
      ? filled(batch)
      : el("p", { class: "num filled" }, t("line.js.pace.seen", { mass: formatCrates(batch.mass_g) })),
  ];
}

/**
 * Fruit whose lane command came to nothing: how many, and which, where they lie and why behind a press.
 * @param {NonNullable<Batch["lost"]>} lost
 */
function astray(lost) {
  const text = t("line.js.astray", { n: formatNumber(lost.fruit) });
  return button(
    text,
    () =>
      ask(text, () => [
        el("p", {}, t("line.js.astray.body")),
        el(
          "ul",
          { class: "astray-list" },
          ...lost.last.map((each) =>
            el(
              "li",
              {},
              mark(each.tier, "", each.tier),
              el("b", { class: "num" }, t("line.js.judge.fruit", { n: each.number })),
              el("span", { class: "num" }, each.lane === null ? t("line.js.astray.nowhere") : laneText(each.lane)),
              el("p", {}, words(each.why)),
            ),
          ),
        ),
        lost.fruit > lost.last.length
          ? el("p", { class: "quiet" }, t("line.js.astray.newest", { n: lost.last.length }))
          : null,
      ]),
    { kind: "push-line astray", icon: "warn" },
  );
}

/** How much of what was received has passed. @param {Batch} batch */
function filled(batch) {
  const share = Math.min(1, batch.mass_g / batch.received_g);
  return el(
    "div",
    { class: "filled" },
    el(
      "p",
      { class: "num" },
      t("line.js.pace.of", { mass: formatCrates(batch.mass_g), received: formatCrates(batch.received_g) }),
    ),
    svg(
      "svg",
      { class: "share", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "share-rail", width: 100, height: 6, rx: 3 }),
      svg("rect", { class: "share-fill", width: (share * 100).toFixed(1), height: 6, rx: 3 }),
    ),
  );
}

/** @param {number} now @param {number} rate now */
function sparkline(now, rate) {
  const [wide, high] = [240, 64];
  const most = Math.max(60, rate, ...rates.points.map(([, seen]) => seen));
  const x = (/** @type {number} */ at) => wide - ((now - at) / WINDOW_MS) * wide;
  const y = (/** @type {number} */ value) => high - 4 - (value / most) * (high - 10);
  let path = "";
  let before = Number.NEGATIVE_INFINITY;
  for (const [at, seen] of rates.points) {
    path += `${at - before > GAP_MS ? "M" : "L"}${x(at).toFixed(1)} ${y(seen).toFixed(1)}`;
    before = at;
  }
  const end = rates.points.at(-1);
  return el(
    "figure",
    { class: "spark" },
    svg(
      "svg",
      {
        viewBox: `0 0 ${wide} ${high}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": t("line.js.pace.chart", { most: formatNumber(Math.round(most)) }),
      },
      svg("path", { class: "spark-axis", d: `M0 ${high - 4}H${wide}` }),
      svg("path", { class: "spark-line", d: path || "M0 0" }),
      ...(end ? [svg("path", { class: "spark-end", d: `M${x(end[0]).toFixed(1)} ${y(end[1]).toFixed(1)}h.01` })] : []),
    ),
    el(
      "figcaption",
      { class: "num" },
      el("span", {}, t("line.js.pace.ago")),
      el("span", {}, t("line.js.pace.most", { most: formatNumber(Math.round(most)) })),
      el("span", {}, t("line.js.pace.now")),
    ),
  );
}

// --- the last fruit -------------------------------------------------------------------------------

let last_at = Number.NEGATIVE_INFINITY;
let isTouched = false;
const place = need("#last");
place.addEventListener("pointerdown", () => {
  isTouched = true;
});
for (const name of ["pointerup", "pointercancel"])
  addEventListener(name, () =>
    setTimeout(() => {
      isTouched = false;
    }, 400),
  );

/** How many fruit the strip shows whole; a phone scrolls. */
function room() {
  const card = innerWidth >= 1600 && innerHeight >= 900 ? 116 : 92;
  return innerWidth <= 760 || !place.clientWidth
    ? LAST_MOST
    : Math.min(LAST_MOST, Math.floor((place.clientWidth - 16) / card));
}

/** A strip that changes once a second, and not under a finger. @param {State} state */
export function showLast(state) {
  const now = performance.now();
  if (isTouched || (now - last_at < LAST_MS && drawn.get("#last") !== "[]")) return;
  last_at = now;
  const rows = state.batch ? [...state.last].sort((a, b) => b.number - a.number).slice(0, room()) : [];
  region("#last", rows, () =>
    rows.length ? [el("ul", { class: "last-row" }, ...rows.map((fruit) => el("li", {}, passed(fruit, state))))] : [],
  );
}

/** @param {Passed} fruit @param {State} state */
function passed(fruit, state) {
  const name = nameOf(fruit.tier, state);
  const card = el(
    "button",
    {
      type: "button",
      class: `passed${fruit.lost ? " passed-astray" : ""}`,
      "data-tier": fruit.tier,
      "aria-label": `${t("line.js.judge.fruit", { n: fruit.number })} · ${name}`,
    },
    el(
      "span",
      { class: "passed-picture" },
      fruit.crop ? el("img", { src: fruit.crop, alt: "", loading: "lazy" }) : icon("fruit"),
      mark(fruit.tier, "", name),
    ),
    el("b", { class: "num" }, fruit.price_fen === null ? "–" : formatYuan(fruit.price_fen)),
    el("small", { class: "num" }, laneOf(fruit, state)),
  );
  card.addEventListener("click", async () => {
    const isWrong = await ask(
      t("line.js.judge.fruit", { n: fruit.number }),
      (/** @type {(isWrong: boolean) => void} */ finish) => [
        fruit.crop ? el("img", { class: "passed-large", src: fruit.crop, alt: "" }) : null,
        el("p", { class: "passed-tier" }, mark(fruit.tier, "lg", name), el("b", {}, name), laneOf(fruit, state)),
        el(
          "p",
          { class: "num" },
          [
            fruit.mass_g === null ? "" : massText(fruit),
            fruit.price_fen === null ? "" : formatYuan(fruit.price_fen),
            formatClock(fruit.at),
          ]
            .filter(Boolean)
            .join(" · "),
        ),
        el("p", {}, words(fruit.reason)),
        fruit.lost ? el("p", {}, t("line.js.lost"), " ", words(fruit.lost)) : null,
        fruit.mass?.unweighed ? el("p", {}, t("line.js.unweighed"), " ", words(fruit.mass.unweighed)) : null,
        button(t("line.js.judge.correct"), () => finish(true), { kind: "push-line", icon: "edit" }),
      ],
    );
    if (isWrong) correct(fruit);
  });
  return card;
}

/** Whether gates are wired at all: without, people sort by what the screen shows. @param {Batch} batch */
const isWired = (batch) => batch.tiers.some((each) => each.lane !== null);

/** @param {Passed} fruit @param {State} state */
const laneOf = (fruit, state) =>
  fruit.lane !== null && state.batch && isWired(state.batch) ? laneText(fruit.lane) : "";

/** Lane 0 is the belt's end. @param {number} lane */
const laneText = (lane) => (lane === 0 ? t("line.js.lane_end") : t("line.js.lane", { n: lane }));

/** Grams, and whose they are where a scale weighs each fruit. @param {Passed} fruit */
const massText = (fruit) =>
  `${formatNumber(fruit.mass_g ?? 0)}\u00a0g${fruit.mass?.from === "scale" ? ` (${t("line.js.by_scale")})` : ""}`;

/** @param {string} tier @param {State} state */
function nameOf(tier, state) {
  const known = state.batch?.tiers.find((each) => each.tier === tier);
  return known ? words(known.name) : wordOr(`line.js.tier.${tier}`, tier);
}
