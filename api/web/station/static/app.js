// The panel: draws what the server says stands, and draws again only what changed. A finger on a button
// is never left on a button that was replaced under it.

import { el, fill, formatClock, formatKg, icon, lang, live, need, pageData, t } from "/web/shared/kit.js";
import { showAlarms } from "./alarms.js";
import { varietyName } from "./desk.js";
import { dockRegions } from "./dock.js";
import { calibrate, gradeRegions } from "./grade.js";
import { packRegions } from "./pack.js";
import { shipRegions } from "./ship.js";

/** @typedef {import("./types.js").View} View */

/** @type {Record<string, (view: View) => [string, unknown, () => Node][]>} */
const TABS = { dock: dockRegions, grade: gradeRegions, pack: packRegions, ship: shipRegions };

const main = need("#main");
/** @type {View} */
let view = pageData("view");
let tab = "";
/** @type {Map<string, {node: Node, standing: string}>} */
const drawn = new Map();
let ahead_ms = new Date(view.as_of).getTime() - Date.now();

function tabOf() {
  const wanted = location.hash.replace("#/", "");
  if (TABS[wanted]) return wanted;
  if (view.batch && !view.batch.closed_at) return "grade";
  if (view.graded_lots.length) return "pack";
  return view.lots.length ? "dock" : "ship";
}

function draw() {
  const wanted = tabOf();
  if (wanted !== tab) {
    tab = wanted;
    drawn.clear();
    main.className = `tab-${tab}`;
    main.replaceChildren();
    for (const link of document.querySelectorAll("#tabs a")) {
      if (link instanceof HTMLElement && link.dataset.tab === tab) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  const regions = (TABS[tab] ?? gradeRegions)(view);
  const names = new Set(regions.map(([name]) => name));
  for (const [name, { node }] of drawn) {
    if (!names.has(name)) {
      node.parentNode?.removeChild(node);
      drawn.delete(name);
    }
  }
  for (const [name, standing, make] of regions) {
    const text = JSON.stringify(standing);
    const known = drawn.get(name);
    if (known?.standing === text) continue;
    const node = make();
    if (known) known.node.parentNode?.replaceChild(node, known.node);
    else main.append(node);
    drawn.set(name, { node, standing: text });
  }
  strip();
  badges();
  showAlarms(view.alarms);
}

function strip() {
  const { batch, calibration } = view;
  /** @type {Node[]} */
  const cells = [];
  if (batch) {
    cells.push(
      cell("lot", t("station.js.top.lot"), batch.lot_number, true),
      cell("weight", t("station.js.top.weight"), formatKg(batch.received_g), true),
      cell(
        "origin",
        t("station.js.top.origin"),
        [varietyName(batch.variety), ...batch.plots].filter(Boolean).join(" · "),
      ),
      cell("standard", t("station.js.top.standard"), lang === "zh" ? batch.standard.title_zh : batch.standard.title_en),
    );
  } else cells.push(cell("lot", t("station.js.top.lot"), t("station.js.top.no_lot"), true));
  const until = calibration
    ? calibration.is_valid
      ? t("station.js.top.calibration.until", { time: formatClock(calibration.valid_until) })
      : t("station.js.top.calibration.over")
    : t("station.js.top.calibration.none");
  const scale = el(
    "button",
    { type: "button", class: `cell cell-scale${calibration?.is_valid ? "" : " cell-bad"}` },
    icon("target", 20),
    el("span", {}, t("station.js.top.calibration")),
    el("b", {}, until),
  );
  scale.addEventListener("click", calibrate);
  cells.push(scale);
  fill(need("#strip"), ...cells);
}

/**
 * @param {string} name
 * @param {string} label
 * @param {string} value
 * @param {boolean} [isBig]
 */
const cell = (name, label, value, isBig = false) =>
  el(
    "p",
    { class: `cell cell-${name}${isBig ? " cell-big" : ""}` },
    el("span", {}, label),
    el("b", { class: "num" }, value),
  );

function badges() {
  const counts = {
    dock: view.lots.filter((lot) => lot.state === "created" || lot.state === "held").length,
    grade: view.batch?.doubtful ?? 0,
    pack: view.graded_lots.reduce(
      (sum, lot) => sum + lot.products.reduce((most, product) => Math.max(most, product.missing), 0),
      0,
    ),
    ship: view.packs.filter((pack) => !pack.load).length,
  };
  for (const [name, count] of Object.entries(counts)) {
    const badge = need(`#tabs [data-tab="${name}"] .badge`);
    badge.hidden = count === 0;
    badge.textContent = String(count);
  }
}

function tick() {
  need("#clock").textContent = formatClock(new Date(Date.now() + ahead_ms));
}

const net = need("#net");
live(
  "/api/v1/station/stream",
  {
    state: (next) => {
      view = next;
      ahead_ms = new Date(view.as_of).getTime() - Date.now();
      draw();
      tick();
    },
  },
  (state) => {
    net.dataset.state = state;
    fill(net, icon(state === "open" ? "signal" : "no-signal", 20), el("span", {}, t(`station.js.net.${state}`)));
  },
);
addEventListener("hashchange", draw);
setInterval(tick, 5000);
setInterval(draw, 30_000);
tick();
draw();
