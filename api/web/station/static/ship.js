// The way out: packs onto a load, the load onto the road, and what the receiver saw arrive.

import { el, formatClock, formatKg, postJson, t, tierMark } from "/web/shared/kit.js";
import { act, ask, button } from "./desk.js";

/** @typedef {import("./types.js").Load} Load */
/** @typedef {import("./types.js").Pack} Pack */

/**
 * @param {import("./types.js").View} view
 * @returns {[string, unknown, () => Node][]}
 */
export function shipRegions(view) {
  const ready = view.packs.filter((pack) => !pack.load);
  return [
    ["ready", ready, () => readyPacks(ready)],
    ["loads", view.loads, () => loads(view.loads)],
  ];
}

/** @param {Pack[]} ready */
function readyPacks(ready) {
  const mass = ready.reduce((sum, pack) => sum + pack.mass_g, 0);
  return el(
    "section",
    { class: "ready" },
    el("h1", {}, t("station.js.ship.ready")),
    ready.length
      ? el(
          "ul",
          { class: "pack-rows" },
          ...ready.map((pack) =>
            el(
              "li",
              { class: "pack-row" },
              tierMark(pack.tier, "lg"),
              el("span", { class: "pack-serial" }, el("b", { class: "mono" }, pack.serial)),
              el("b", { class: "num" }, formatKg(pack.mass_g)),
            ),
          ),
        )
      : el("p", { class: "quiet" }, t("station.js.ship.none")),
    button(t("station.js.ship.load", { n: ready.length, mass: formatKg(mass) }), () => load(ready), {
      kind: "push-main",
      mark: "truck",
      disabled: !ready.length,
    }),
  );
}

/** @param {Pack[]} ready */
async function load(ready) {
  /** @type {{logger: string} | null} */
  const chosen = await ask(t("station.js.ship.logger"), (finish) => {
    const input = el("input", { type: "text", autocomplete: "off", value: "LOGGER-1" });
    const form = el(
      "form",
      { class: "stack" },
      el("label", { class: "field" }, el("span", {}, t("station.js.ship.logger")), input),
      el("button", { class: "huge huge-main" }, t("station.js.ok")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      finish({ logger: input.value.trim() });
    });
    const without = el("button", { type: "button", class: "huge" }, t("station.js.ship.no_logger"));
    without.addEventListener("click", () => finish({ logger: "" }));
    return [form, without];
  });
  if (!chosen) return;
  const packs = ready.map((pack) => pack.id);
  await act(
    () => postJson("/api/v1/station/loads", chosen.logger ? { packs, logger: chosen.logger } : { packs }),
    (answer) => t("station.js.ship.made", { ref: answer.ref }),
  );
}

/** @param {Load[]} all */
function loads(all) {
  return el(
    "section",
    { class: "loads" },
    el("h1", {}, t("station.js.ship.loads")),
    all.length
      ? el("ul", { class: "load-rows" }, ...all.map(loadRow))
      : el("p", { class: "quiet" }, t("station.js.ship.no_loads")),
  );
}

/** @param {Load} one */
function loadRow(one) {
  const steps = [
    el("li", { class: "done" }, t("station.js.ship.loaded", { time: formatClock(one.loaded_at) })),
    one.shipped_at
      ? el("li", { class: "done" }, t("station.js.ship.shipped", { time: formatClock(one.shipped_at) }))
      : null,
    one.delivered_at && !one.mismatch.length
      ? el("li", { class: "done" }, t("station.js.ship.delivered", { time: formatClock(one.delivered_at) }))
      : null,
    one.delivered_at && one.mismatch.length
      ? el("li", { class: "bad" }, t("station.js.ship.mismatch", { n: one.mismatch.length }))
      : null,
  ];
  return el(
    "li",
    { class: "load-row" },
    el(
      "div",
      {},
      el("h2", {}, one.ref),
      el(
        "p",
        { class: "num quiet" },
        t("station.js.ship.packs", { n: one.packs.length, mass: formatKg(one.net_mass_g) }),
        one.logger ? ` · ${one.logger.split("/").at(-1)}` : "",
      ),
      el("ol", { class: "steps num" }, ...steps),
    ),
    one.shipped_at
      ? one.delivered_at
        ? null
        : button(t("station.js.ship.arrived"), () => deliver(one), { kind: "push-line", mark: "check" })
      : button(t("station.js.ship.send"), () => send(one), { kind: "push-main", mark: "truck" }),
  );
}

/** @param {Load} one */
async function send(one) {
  /** @type {Record<string, string> | null} */
  const chosen = await ask(t("station.js.ship.send.title", { ref: one.ref }), (finish) => {
    const fields = ["destination", "receiver", "vehicle"].map((name) =>
      el("input", { type: "text", name, autocomplete: "off", required: name !== "vehicle" }),
    );
    const form = el(
      "form",
      { class: "stack" },
      ...fields.map((input) =>
        el("label", { class: "field" }, el("span", {}, t(`station.js.ship.${input.name}`)), input),
      ),
      el("button", { class: "huge huge-main" }, t("station.js.ship.send")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      finish(
        Object.fromEntries(
          fields.filter((input) => input.value.trim()).map((input) => [input.name, input.value.trim()]),
        ),
      );
    });
    return [form];
  });
  if (!chosen) return;
  await act(
    () => postJson("/api/v1/station/shipments", { load: one.id, ...chosen }),
    () => t("station.js.ship.sent", { ref: one.ref }),
  );
}

/** @param {Load} one */
async function deliver(one) {
  /** @type {string[] | null} */
  const seen = await ask(t("station.js.ship.arrived.title", { ref: one.ref }), (finish) => {
    const there = new Set(one.packs);
    const done = el("button", { type: "button", class: "huge huge-main" });
    const draw = () => {
      done.textContent = t("station.js.ship.arrived.ok", { n: there.size });
    };
    const rows = one.packs.map((pack) => {
      const row = el(
        "button",
        { type: "button", class: "pack-row", "aria-pressed": "true" },
        el("b", { class: "mono" }, pack.split("/").at(-1) ?? pack),
      );
      row.addEventListener("click", () => {
        if (!there.delete(pack)) there.add(pack);
        row.setAttribute("aria-pressed", String(there.has(pack)));
        draw();
      });
      return el("li", {}, row);
    });
    done.addEventListener("click", () => finish([...there]));
    draw();
    return [
      el("p", { class: "quiet" }, t("station.js.ship.arrived.body")),
      el("ul", { class: "pack-rows scroll" }, ...rows),
      done,
    ];
  });
  if (!seen) return;
  await act(
    () => postJson("/api/v1/station/deliveries", { load: one.id, packs_seen: seen }),
    () => t("station.js.ship.done", { ref: one.ref }),
  );
}
