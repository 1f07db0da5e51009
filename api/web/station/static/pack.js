// Packing: graded stock, the fruit of the next pack, the scale, the label.

import { el, fill, formatClock, formatKg, getJson, icon, Problem, postJson, t, tierMark } from "/web/shared/kit.js";
import { act, ask, askWeight, button, nothing, varietyName } from "./desk.js";

/** @typedef {import("./types.js").GradedLot} GradedLot */
/** @typedef {import("./types.js").Pack} Pack */

/**
 * @param {import("./types.js").View} view
 * @returns {[string, unknown, () => Node][]}
 */
export function packRegions(view) {
  if (!view.graded_lots.length && !view.packs.length)
    return [["alone", null, () => nothing("box", "station.js.pack.none")]];
  return [
    ["stock", view.graded_lots, () => stock(view.graded_lots)],
    ["packs", view.packs, () => packList(view.packs)],
  ];
}

/** @param {GradedLot[]} lots */
function stock(lots) {
  return el(
    "section",
    { class: "stock" },
    el("h1", {}, t("station.js.pack.stock")),
    lots.length ? el("ul", { class: "stock-lots" }, ...lots.map(stockCard)) : nothing("box", "station.js.pack.none"),
  );
}

/** @param {GradedLot} lot */
function stockCard(lot) {
  return el(
    "li",
    { class: "stock-lot" },
    tierMark(lot.tier, "xl"),
    el(
      "div",
      { class: "stock-what" },
      el(
        "h2",
        { class: "num" },
        t("station.js.pack.left", { mass: formatKg(lot.left_g) }),
        el("small", {}, t("station.js.pack.of", { mass: formatKg(lot.mass_g) })),
      ),
      el("p", { class: "quiet" }, `${lot.number} · ${varietyName(lot.variety)}`),
      ...(lot.products.length
        ? lot.products.map((product) =>
            el(
              "p",
              { class: product.missing ? "wanted num" : "quiet num" },
              `${formatKg(product.nominal_mass_g)} · ${wanting(lot, product)}`,
            ),
          )
        : [el("p", { class: "quiet" }, t("station.js.pack.no_product"))]),
    ),
    el(
      "div",
      { class: "stock-do" },
      ...lot.products
        .filter((product) => lot.left_g >= product.nominal_mass_g)
        .map((product) =>
          button(
            lot.products.length > 1 ? formatKg(product.nominal_mass_g) : t("station.js.pack.weigh"),
            () => closePack(lot, product.gtin),
            { kind: product.missing ? "push-main" : "push-line", mark: "scale" },
          ),
        ),
    ),
  );
}

/**
 * @param {GradedLot} lot
 * @param {import("./types.js").Offer} product
 */
function wanting(lot, product) {
  if (!product.missing) return t("station.js.pack.sold_out");
  const missing = t("station.js.pack.missing", { n: product.missing });
  return lot.left_g < product.nominal_mass_g ? `${missing} · ${t("station.js.pack.too_little")}` : missing;
}

/**
 * @param {GradedLot} lot
 * @param {string} gtin
 */
async function closePack(lot, gtin) {
  const query = new URLSearchParams({ graded_lot: lot.number, gtin });
  let next;
  try {
    next = await getJson(`/api/v1/station/fillings?${query}`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return;
  }
  if (!next.fruit.length) {
    await act(
      () => Promise.reject(new Problem(409, { detail: t("station.js.pack.short") })),
      () => "",
    );
    return;
  }
  const grams = await askWeight({
    title: t("station.js.pack.fruit", { n: next.fruit.length }),
    expect: t("station.js.pack.weigh.expect", { nominal: formatKg(next.nominal_mass_g), mass: formatKg(next.mass_g) }),
    ok: "station.js.pack.weigh.ok",
    check: (typed) =>
      typed < next.nominal_mass_g
        ? { text: t("station.js.pack.weigh.light"), state: "bad" }
        : {
            text: t("station.js.weigh.difference", { difference: formatKg(Math.abs(typed - next.mass_g)) }),
            state: "ok",
          },
  });
  if (grams === null) return;
  /** @type {Pack | null} */
  const made = await act(
    () => postJson("/api/v1/station/packs", { graded_lot: lot.id, gtin, scale_g: grams }),
    (answer) => t("station.js.pack.closed", { serial: answer.serial }),
  );
  if (made) await showLabel(made);
}

/** @param {Pack[]} packs */
function packList(packs) {
  return el(
    "section",
    { class: "packs" },
    el("h1", {}, t("station.js.pack.closed_list")),
    el("ul", { class: "pack-rows" }, ...packs.map(packRow)),
  );
}

/** @param {Pack} pack */
function packRow(pack) {
  const standing = pack.load ? "loaded" : pack.is_sold ? "sold" : "spare";
  const row = el(
    "button",
    { type: "button", class: "pack-row" },
    tierMark(pack.tier, "lg"),
    el(
      "span",
      { class: "pack-serial" },
      el("b", { class: "mono" }, pack.serial),
      el(
        "small",
        { class: "quiet num" },
        `${formatClock(pack.packed_at)} · ${t("station.js.fruits", { n: pack.fruits })}`,
      ),
    ),
    el("b", { class: "num" }, formatKg(pack.mass_g)),
    el(
      "span",
      { class: `pill ${standing === "sold" ? "pill-ok" : standing === "spare" ? "pill-wait" : ""}` },
      t(`station.js.pack.${standing}`),
    ),
    icon("label"),
  );
  row.addEventListener("click", () => showLabel(pack));
  return el("li", {}, row);
}

/** @param {Pack} pack */
function showLabel(pack) {
  return ask(
    `${t("station.js.pack.label")} ${pack.serial}`,
    () => {
      const picture = el("img", { class: "label-picture", src: pack.label_png, alt: `${pack.gtin} ${pack.serial}` });
      const print = el("a", { class: "huge huge-main", href: pack.label_pdf, target: "_blank", rel: "noopener" });
      fill(print, icon("printer"), t("station.js.pack.print"));
      return [picture, print];
    },
    "ask-label",
  );
}
