// @ts-check
/** The screens, as markup. Each takes what it shows and nothing else; `data-do` names what a touch does. */

import { html } from "/web/shared/dom.js";
import { lang, t } from "/web/shared/kit.js";
import { clashes, coolBy, inOrder, standing, toGo } from "./orders.js";
import { grams, problem } from "./weight.js";
import { clock, day, exactKg, jin, kg, span, today, varietyName } from "./words.js";

/**
 * @typedef {import("./orders.js").Order} Order
 * @typedef {import("./outbox.js").Entry} Entry
 * @typedef {import("./outbox.js").Summary} Summary
 * @typedef {import("./weight.js").Weight} Weight
 * @typedef {{
 *   now: number, zone: string, as_of: string, minutes: number, orders: Order[], started: Record<string, string>,
 *   outbox: Summary, net: "live" | "connecting" | "offline", can_install: boolean,
 * }} Model
 * @typedef {{
 *   pick_order: string, crate: string, code: string, typed: string, mode: "scan" | "type", reader: boolean,
 *   scan: "starting" | "aim" | "unknown" | "found", torch: boolean, weight: Weight,
 *   camera: boolean, shutter: boolean, saving: "" | "locating" | "saving", position: boolean, corrects: string,
 * }} Draft
 * @typedef {{
 *   pick_order: string, uuid: string, code: string, mass_g: number, photo: boolean, position: "none" | "kept" | "not_found",
 * }} Done
 */

/**
 * @param {string} name
 * @param {16 | 20 | 24 | 32} [size]
 */
export const icon = (name, size = 24) =>
  html`<svg class="ico${size === 24 ? "" : ` ico-${size}`}" viewBox="0 0 24 24" aria-hidden="true"><use href="/web/shared/icons.svg#${name}"/></svg>`;

/**
 * @param {string} tier
 * @param {"" | "lg" | "xl"} [size]
 */
const tierMark = (tier, size = "") =>
  html`<span class="tier tier-${tier.toLowerCase()}${size ? ` tier-${size}` : ""}" role="img" aria-label="${t(`shared.js.tier.${tier}`)}">${tier}</span>`;

/** @param {string} pick_order */
const address = (pick_order) => `#/order/${encodeURIComponent(pick_order.slice(pick_order.lastIndexOf("/") + 1))}`;

/**
 * @param {Model} model
 * @param {{title?: string, back?: {href: string, text: string}, net?: boolean}} options
 */
function bar(model, { title, back }) {
  const { unsent } = model.outbox;
  const count = html`<a class="unsent" href="#/unsent" data-count="${unsent}" aria-label="${unsent ? t("farmer.js.unsent.label", { n: unsent }) : t("farmer.js.unsent.none")}">
    ${icon("unsent")}<span>${t("farmer.js.unsent")}</span><b class="num ${unsent ? "some" : ""}">${unsent}</b></a>`;
  const left = back
    ? html`<a class="back" href="${back.href}">${icon("left")}<span>${back.text}</span></a>`
    : html`<p class="ttl">${title}</p>`;
  return html`<header class="bar" data-key="bar">${left}${count}</header>`;
}

/** The line above the main button: what the network does, in words. @param {Model} model */
function netLine(model) {
  const time = clock(model.as_of, model.zone);
  if (model.outbox.state === "sign_in")
    return html`<a class="net wait" href="/sign-in?next=/farmer">${icon("key")}<span>${t("farmer.js.line.sign_in")}</span></a>`;
  if (model.net === "offline")
    return html`<p class="net">${icon("no-signal")}<span>${t("farmer.js.line.offline")}</span></p>`;
  if (model.net === "connecting")
    return html`<p class="net">${icon("signal")}<span>${t("farmer.js.line.connecting", { time })}</span></p>`;
  return null;
}

/**
 * The ring empties as the time to the cold room runs out, and fills again in clay past it.
 * @param {number} left  milliseconds
 * @param {number} minutes
 * @param {boolean} big
 */
function ring(left, minutes, big) {
  const [size, radius] = big ? [264, 112] : [26, 9.5];
  const around = 2 * Math.PI * radius;
  const share = Math.min(1, Math.max(0, Math.abs(left) / (minutes * 60_000)));
  const state = left < 0 ? "over" : left < 30 * 60_000 ? "soon" : "";
  return html`<svg class="ring ${state}" viewBox="0 0 ${size} ${size}" aria-hidden="true"><circle class="ring-rail" cx="${size / 2}" cy="${size / 2}" r="${radius}"/><circle class="ring-fill" cx="${size / 2}" cy="${size / 2}" r="${radius}" stroke-dasharray="${(share * around).toFixed(1)} ${around.toFixed(1)}" transform="rotate(-90 ${size / 2} ${size / 2})"/></svg>`;
}

// --- today ----------------------------------------------------------------------------------------

/**
 * Whole minutes to or past a deadline: what is left is rounded up, what is over down, and never 0.
 * @param {number} left  milliseconds
 */
const wholeMinutes = (left) => Math.max(1, left < 0 ? Math.floor(-left / 60_000) : Math.ceil(left / 60_000));

/**
 * @param {number} by
 * @param {Model} model
 * @returns {"today" | "tomorrow" | "later"}
 */
function due(by, { now, zone }) {
  if (day(by, zone) === day(now, zone)) return "today";
  return day(by, zone) === day(now + 24 * 3_600_000, zone) ? "tomorrow" : "later";
}

/**
 * @param {Model} model
 * @param {Order} order
 */
function card(model, order) {
  const state = standing(order, model.started[order.pick_order]);
  const line = t("farmer.js.card.line", { variety: varietyName(order.variety), plot: order.plot.name });
  if (state === "delivered" || state === "withdrawn") {
    const word = t(state === "delivered" ? "farmer.js.card.delivered" : "farmer.js.card.withdrawn");
    return html`<li class="card-past" data-key="${order.number}" data-standing="${state}"><a href="${address(order.pick_order)}">${icon(state === "delivered" ? "check" : "cross")}<span>${line}<br>${word}</span><b class="num">${kg(state === "delivered" ? order.picked_g : order.ordered_g)} kg</b></a></li>`;
  }
  const cool = coolBy(order, model.started[order.pick_order], model.minutes);
  const left = cool ? cool.by - model.now : 0;
  const by = Date.parse(order.pick_by);
  let status;
  if (state === "raised") {
    const late = by < model.now;
    const time = clock(order.pick_by, model.zone);
    const words = {
      today: () => t("farmer.js.card.by", { time }),
      tomorrow: () => t("farmer.js.card.by_tomorrow", { time }),
      later: () => t("farmer.js.card.by_day", { time, day: day(by, model.zone) }),
    }[due(by, model)]();
    status = late
      ? html`<b class="late">${t("farmer.js.card.late", { span: span(model.now - by) })}</b>`
      : html`<b>${words}</b>`;
  } else {
    const words = t(left < 0 ? "farmer.js.card.over" : "farmer.js.card.time_left", { n: wholeMinutes(left) });
    status = html`<span>${state === "bring" ? t("farmer.js.card.bring") : t("farmer.js.card.picked", { kg: kg(order.picked_g) })}</span>${cool && html`<b class="left ${left < 0 ? "over" : ""}">${ring(left, model.minutes, false)}${words}</b>`}`;
  }
  const isNew = order.seen_at === null && state === "raised";
  return html`<li class="card-open" data-key="${order.number}" data-standing="${state}"><a href="${address(order.pick_order)}">
    ${tierMark(order.tier, "xl")}
    <span class="what"><strong>${varietyName(order.variety)}${isNew && html`<em class="new">${t("farmer.js.card.new")}</em>`}</strong><span>${order.plot.name}</span>${status}</span>
    <span class="kg"><b class="num">${kg(order.ordered_g)}<small>kg</small></b><span>${t("farmer.js.in_jin", { jin: jin(order.ordered_g) })}</span></span></a></li>`;
}

/** @param {Model} model */
export function todayScreen(model) {
  const orders = inOrder(model.orders, model.started);
  const open = orders.filter((o) => ["picking", "raised"].includes(standing(o, model.started[o.pick_order])));
  const title = today(model.now, model.zone);
  const next = open[0];
  const go = next && standing(next, model.started[next.pick_order]) === "picking" ? "on" : "start";
  const headline = open.length
    ? t("farmer.js.left", { n: open.length, kg: kg(open.reduce((sum, o) => sum + toGo(o), 0)) })
    : t(orders.length ? "farmer.js.left.none" : "farmer.js.empty.title");
  return html`${bar(model, { title })}
    <div class="sum" data-key="sum"><h1>${headline}</h1></div>
    ${clashNotice(model)}
    ${
      orders.length
        ? html`<ol class="cards" data-key="cards">${orders.map((o) => card(model, o))}</ol>`
        : html`<div class="nothing" data-key="nothing">${icon("tree", 32)}<p>${t("farmer.js.empty.body")}</p></div>`
    }
    <p class="side-line" data-key="side"><a href="?lang=${lang === "zh" ? "en" : "zh"}" lang="${lang === "zh" ? "en" : "zh-CN"}">${t("farmer.js.language")}</a>${model.can_install && html`<button type="button" data-do="install">${icon("download", 20)}${t("farmer.js.install")}</button>`}</p>
    <footer class="foot" data-key="foot">${netLine(model)}${next && html`<a class="btn btn-main btn-block" href="${address(next.pick_order)}">${t(`farmer.js.go.${go}`, { plot: next.plot.name })}</a>`}</footer>`;
}

/** @param {Model} model */
function clashNotice(model) {
  return clashes(model.orders).map(
    (
      c,
    ) => html`<section class="clash" data-key="clash-${c.lot}"><h2>${icon("warn")}${t("farmer.js.clash.title", { crate: c.code })}</h2>
      <div class="pair num"><p>${t("farmer.js.clash.you", { time: clock(c.ended_at, model.zone) })}<b>${exactKg(c.lot_picked_g)} kg</b></p><p>${t("farmer.js.clash.house")}<b>${exactKg(c.lot_received_g ?? 0)} kg</b></p></div>
      <p>${t("farmer.js.clash.body")}</p></section>`,
  );
}

// --- one order ------------------------------------------------------------------------------------

/**
 * @param {Model} model
 * @param {Order} order
 */
export function orderScreen(model, order) {
  const startedAt = model.started[order.pick_order];
  const state = standing(order, startedAt);
  const back = { href: "#/", text: t("farmer.js.today") };
  const cool = state === "delivered" || state === "withdrawn" ? null : coolBy(order, startedAt, model.minutes);
  if (state === "raised") return rawOrder(model, order, back);
  return html`${bar(model, { back: { href: "#/", text: order.plot.name } })}
    ${order.state === "withdrawn" && html`<p class="told">${icon("info")}<span>${t("farmer.js.order.withdrawn")}</span></p>`}
    ${cool && bigRing(model, cool)}
    <div class="done-so-far" data-key="sofar">
      <p class="so-far num"><b>${t("farmer.js.meter.picked", { kg: kg(order.picked_g) })}</b><span>${toGo(order) ? t("farmer.js.meter.to_go", { kg: kg(toGo(order)), wanted: kg(order.ordered_g) }) : t("farmer.js.meter.enough", { wanted: kg(order.ordered_g) })}</span></p>
      <svg class="meter" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="4"/><rect class="fill" width="${Math.min(100, (100 * order.picked_g) / order.ordered_g).toFixed(1)}" height="4"/></svg>
      <ol class="crates">${order.crates.map((c) => crateLine(model, c))}${state === "picking" && startedAt && html`<li class="filling" data-key="filling">${icon("crate")}<b>${t("farmer.js.crate.filling")}</b><span></span><span class="num">${clock(startedAt, model.zone)}</span></li>`}</ol>
    </div>
    <footer class="foot" data-key="foot">${netLine(model)}${
      state === "picking"
        ? html`<a class="btn btn-main btn-block" href="${address(order.pick_order)}/crate">${t(order.crates.length ? "farmer.js.order.crate_full" : "farmer.js.order.first_crate")}</a>`
        : html`<a class="btn btn-main btn-block" href="#/">${t("farmer.js.order.done")}</a>${order.state !== "withdrawn" && order.state !== "closed" && html`<a class="btn btn-block" href="${address(order.pick_order)}/crate">${t("farmer.js.order.one_more")}</a>`}`
    }</footer>`;
}

/**
 * @param {Model} model
 * @param {Order} order
 * @param {{href: string, text: string}} back
 */
function rawOrder(model, order, back) {
  const by = Date.parse(order.pick_by);
  const time = clock(order.pick_by, model.zone);
  const when = {
    today: () => time,
    tomorrow: () => t("farmer.js.order.tomorrow", { time }),
    later: () => `${day(by, model.zone)} ${time}`,
  }[due(by, model)]();
  return html`${bar(model, { back })}
    <div class="order-face" data-key="face">
      <p class="big-kg num">${kg(order.ordered_g)}<small>kg</small></p><p class="big-jin num">${t("farmer.js.in_jin", { jin: jin(order.ordered_g) })}</p>
      <p class="of">${tierMark(order.tier, "lg")}<strong>${varietyName(order.variety)}</strong></p>
      <dl class="lines"><div><dt>${icon("pin")}${t("farmer.js.order.plot")}</dt><dd>${order.plot.name}</dd></div>
      <div class="${by < model.now ? "late" : ""}"><dt>${icon("clock")}${t("farmer.js.order.by")}</dt><dd class="num">${when}</dd></div></dl>
      <p class="rule-line">${icon("snow")}<span>${t("farmer.js.order.rule", { hours: model.minutes / 60 })}</span></p>
      <p class="order-number">${t("farmer.js.order.number", { number: order.number })}</p>
    </div>
    <footer class="foot" data-key="foot">${netLine(model)}<button class="btn btn-main btn-block" type="button" data-do="start" data-order="${order.pick_order}">${t("farmer.js.order.start")}</button></footer>`;
}

/**
 * @param {Model} model
 * @param {{by: number, crate: string}} cool
 */
function bigRing(model, cool) {
  const left = cool.by - model.now;
  const minutes = wholeMinutes(left);
  const time = clock(cool.by, model.zone);
  const words =
    left < 0
      ? cool.crate
        ? t("farmer.js.ring.bring_now", { crate: cool.crate })
        : t("farmer.js.ring.bring_now_first")
      : cool.crate
        ? t("farmer.js.ring.bring", { time, crate: cool.crate })
        : t("farmer.js.ring.bring_first", { time });
  return html`<div class="big-ring ${left < 0 ? "over" : ""}" data-key="ring" role="timer">${ring(left, model.minutes, true)}<p class="in"><span>${t(left < 0 ? "farmer.js.ring.over" : "farmer.js.ring.left")}</span><b class="num">${minutes}<small>${t("farmer.js.ring.min")}</small></b><span>${t("farmer.js.ring.of")}</span></p></div>
    <p class="bring num ${left < 0 ? "over" : ""}" data-key="bring">${words}</p>`;
}

/**
 * @param {Model} model
 * @param {import("./orders.js").CrateLine} c
 */
function crateLine(model, c) {
  const state =
    c.unsent === "parked"
      ? "refused"
      : c.unsent
        ? "unsent"
        : c.cooling_started_at
          ? "cooled"
          : c.received_at
            ? "received"
            : "";
  const mark = { refused: "warn", unsent: "unsent", cooled: "snow", received: "check", "": "crate" }[state];
  return html`<li data-key="${c.command_id}${c.crate}" data-state="${state}">${icon(mark ?? "crate")}<b>${c.code}</b><span class="num">${exactKg(c.mass_g)} kg${state && html`<em>${t(`farmer.js.crate.${state}`)}</em>`}</span><span class="num">${clock(c.ended_at, model.zone)}</span></li>`;
}

// --- three taps -----------------------------------------------------------------------------------

/**
 * @param {0 | 1 | 2} at
 * @param {string} weight  what stands in place of the second step once it is taken
 */
function taps(at, weight) {
  const names = [t("farmer.js.step.crate"), t("farmer.js.step.weight"), t("farmer.js.step.photo")];
  return html`<ol class="taps" data-key="taps">${names.map((name, i) => html`<li class="${i < at ? "ok" : ""}" ${i === at ? html`aria-current="step"` : ""}>${i === 1 && at > 1 ? weight : `${i + 1} ${name}`}</li>`)}</ol>`;
}

const CORNERS = html`<svg class="corners" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true"><path vector-effect="non-scaling-stroke" d="M10 24V12h14M90 24V12H76M10 76v12h14M90 76v12H76"/></svg>`;

/**
 * @param {Model} model
 * @param {Order} order
 * @param {Draft} draft
 * @param {import("./orders.js").CrateLine | null} holder  what the chosen crate still holds
 */
export function crateScreen(model, order, draft, holder) {
  const back = { href: address(order.pick_order), text: t("farmer.js.back") };
  const ready = draft.crate !== "" && holder === null;
  const inUse = holder && t("farmer.js.type.in_use", { crate: draft.code, kg: exactKg(holder.mass_g) });
  const next = html`<button class="btn btn-main btn-block" type="button" data-do="take-crate" ${ready ? "" : "disabled"}>${t("farmer.js.scan.yes")}</button>`;
  if (draft.mode === "type") {
    const hint =
      inUse ??
      (draft.crate
        ? t("farmer.js.scan.ready", { crate: draft.code })
        : t(draft.reader ? "farmer.js.type.empty" : "farmer.js.scan.no_camera"));
    return html`${bar(model, { back })}${taps(0, "")}
      <div class="typed" data-key="typed"><p class="label">${t("farmer.js.type.title")}</p><output class="num">C-${draft.typed || html`<i></i>`}</output><p class="also ${inUse ? "bad" : ""}">${hint}</p></div>
      ${pad(false)}
      <footer class="foot two" data-key="foot">${draft.reader && html`<button class="btn" type="button" data-do="scan-mode" aria-label="${t("farmer.js.scan.camera")}">${icon("scan")}</button>`}${next}</footer>`;
  }
  const hint = {
    starting: t("farmer.js.scan.starting"),
    aim: t("farmer.js.scan.aim"),
    unknown: t("farmer.js.scan.unknown"),
    found: inUse ?? t("farmer.js.scan.ready", { crate: draft.code }),
  }[draft.scan];
  const good = draft.scan === "found" && ready;
  return html`${bar(model, { back })}${taps(0, "")}
    <div class="finder" data-key="finder-crate">
      <video data-key="video" data-keep playsinline muted></video>${CORNERS}
      ${draft.torch && html`<button class="torch" type="button" data-do="torch" aria-label="${t("farmer.js.scan.torch")}">${icon("torch")}</button>`}
      <p class="hint ${good ? "ok" : ""} ${inUse || draft.scan === "unknown" ? "bad" : ""}" role="status">${icon(good ? "check" : inUse || draft.scan === "unknown" ? "warn" : "scan")}<span>${hint}</span></p>
    </div>
    <footer class="foot" data-key="foot">${next}<button class="btn btn-block" type="button" data-do="type-mode">${icon("keyboard")}${t("farmer.js.scan.type")}</button></footer>`;
}

/** @param {boolean} withPoint */
function pad(withPoint) {
  const digits = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
  return html`<div class="pad num" data-key="pad">${digits.map((d) => html`<button type="button" data-do="press" data-arg="${d}">${d}</button>`)}${withPoint ? html`<button class="alt" type="button" data-do="press" data-arg=".">.</button>` : html`<span class="alt"></span>`}<button type="button" data-do="press" data-arg="0">0</button><button class="alt" type="button" data-do="press" data-arg="back" aria-label="${t("farmer.js.weight.delete")}">${icon("backspace", 32)}</button></div>`;
}

/**
 * @param {Model} model
 * @param {Order} order
 * @param {Draft} draft
 */
export function weightScreen(model, order, draft) {
  const mass = grams(draft.weight);
  const { unit, text } = draft.weight;
  const wrong = problem(draft.weight);
  const other =
    unit === "kg"
      ? t("farmer.js.weight.also_jin", { jin: jin(mass) })
      : t("farmer.js.weight.also_kg", { kg: exactKg(mass) });
  const also =
    wrong === "too_much"
      ? t("farmer.js.weight.too_much", { kg: exactKg(mass) })
      : wrong
        ? t("farmer.js.weight.empty")
        : other;
  const record =
    unit === "kg"
      ? t("farmer.js.weight.record", { kg: text.replace(/\.$/, "") || "0" })
      : t("farmer.js.weight.record_jin", { jin: text.replace(/\.$/, "") || "0" });
  const button = (/** @type {"kg" | "jin"} */ u) =>
    html`<button type="button" data-do="unit" data-arg="${u}" aria-pressed="${u === unit}">${t(`farmer.js.${u}`)}</button>`;
  return html`${bar(model, { back: { href: `${address(order.pick_order)}/crate`, text: draft.code } })}${taps(1, "")}
    <div class="weigh" data-key="weigh"><output class="num">${text || html`<span class="ghost">0</span>`}<i></i></output><div class="unit-switch" role="group" aria-label="${t("farmer.js.weight.unit")}">${button("kg")}${button("jin")}</div><p class="also num ${wrong === "too_much" ? "bad" : ""}">${also}</p></div>
    ${pad(true)}
    <footer class="foot" data-key="foot"><button class="btn btn-main btn-block num" type="button" data-do="take-weight" ${wrong ? "disabled" : ""}>${record}</button></footer>`;
}

/**
 * @param {Model} model
 * @param {Order} order
 * @param {Draft} draft
 */
export function photoScreen(model, order, draft) {
  const busy = draft.saving && t(draft.saving === "locating" ? "farmer.js.photo.locating" : "farmer.js.photo.saving");
  return html`${bar(model, { back: { href: `${address(order.pick_order)}/weight`, text: draft.code } })}${taps(2, `${exactKg(grams(draft.weight))} kg`)}
    <div class="finder" data-key="finder-photo">${
      draft.camera
        ? html`<video data-key="video" data-keep playsinline muted></video>${CORNERS}`
        : html`<label class="choose">${icon("camera", 32)}<span>${t("farmer.js.photo.choose")}</span><input class="visually-hidden" type="file" accept="image/*" capture="environment" data-do="photo-file"></label>`
    }<p class="hint" role="status">${icon(busy ? "timer" : "info")}<span>${busy || t("farmer.js.photo.why")}</span></p></div>
    <label class="where" data-key="where">${icon("pin")}<span><b>${t("farmer.js.photo.position")}</b><small>${t(draft.position ? "farmer.js.photo.position_on" : "farmer.js.photo.position_off")}</small></span><input type="checkbox" role="switch" data-do="position" ${draft.position ? "checked" : ""}></label>
    <footer class="foot" data-key="foot">${draft.camera && html`<div class="shutter"><p><b>${t("farmer.js.photo.take")}</b></p><button type="button" data-do="shoot" aria-label="${t("farmer.js.photo.shutter")}" ${busy || !draft.shutter ? "disabled" : ""}></button><p>${order.plot.name}<br>${varietyName(order.variety)}</p></div>`}
    <button class="btn btn-block ${draft.camera ? "" : "btn-main"}" type="button" data-do="no-photo" ${busy ? "disabled" : ""}>${t("farmer.js.photo.skip")}</button></footer>`;
}

/**
 * @param {Model} model
 * @param {Order} order
 * @param {Done} done
 */
export function doneScreen(model, order, done) {
  const entry = model.outbox.entries.find((e) => e.uuid === done.uuid);
  const sent = !entry
    ? "sent"
    : entry.state === "parked"
      ? "refused"
      : model.outbox.state === "sending"
        ? "sending"
        : "kept";
  const mark = { sent: "check", sending: "signal", kept: "unsent", refused: "warn" }[sent];
  const isEnough = toGo(order) === 0;
  return html`${bar(model, { back: { href: "#/", text: t("farmer.js.today") } })}
    <div class="recorded" data-key="recorded" role="status">
      <svg class="big-check ${sent === "refused" ? "bad" : ""}" viewBox="0 0 96 96" aria-hidden="true"><circle cx="48" cy="48" r="44"/><path d="${sent === "refused" ? "M48 26v26M48 68v.5" : "m29 50 13 13 26-29"}"/></svg>
      <h1>${t(sent === "refused" ? "farmer.js.done.not_taken" : "farmer.js.done.title")}</h1>
      <p class="big num">${exactKg(done.mass_g)}<small>kg</small></p>
      <p class="crate-no num">${done.code}</p>
      <ul><li data-sent="${sent}">${icon(mark)}<span>${sent === "refused" ? html`<a href="#/unsent">${t("farmer.js.done.refused")}</a>` : t(`farmer.js.done.${sent}`)}</span></li>
      ${done.photo && html`<li>${icon("image")}<span>${t("farmer.js.done.photo")}</span></li>`}
      ${done.position !== "none" && html`<li>${icon("pin")}<span>${t(done.position === "kept" ? "farmer.js.done.place" : "farmer.js.done.no_place")}</span></li>`}
      <li>${icon("basket")}<span>${isEnough ? t("farmer.js.done.enough") : t("farmer.js.done.to_go", { kg: kg(toGo(order)) })}</span></li></ul>
    </div>
    <footer class="foot" data-key="foot">${
      isEnough
        ? html`<a class="btn btn-main btn-block" href="${address(order.pick_order)}">${t("farmer.js.card.bring")}</a>`
        : html`<a class="btn btn-main btn-block" href="${address(order.pick_order)}">${t("farmer.js.done.next")}</a>`
    }</footer>`;
}

// --- the tray -------------------------------------------------------------------------------------

/**
 * @param {Model} model
 * @param {string} owner
 */
export function trayScreen(model, owner) {
  const { entries, unsent, state, retry_at } = model.outbox;
  const waiting = entries.filter((e) => e.state === "waiting");
  const parked = entries.filter((e) => e.state === "parked");
  const back = { href: "#/", text: t("farmer.js.today") };
  if (unsent === 0)
    return html`${bar(model, { back })}<div class="nothing" data-key="nothing">${icon("check", 32)}<h1>${t("farmer.js.tray.none")}</h1><p>${t("farmer.js.tray.none_body")}</p></div>`;
  return html`${bar(model, { back })}
    <div class="sum" data-key="sum"><h1>${t("farmer.js.tray.title", { n: unsent })}</h1><p>${t("farmer.js.tray.safe")}</p></div>
    ${parked.map((e) => refusedEntry(model, e))}
    <ul class="waiting" data-key="waiting">${waiting.map(
      (e) =>
        html`<li data-key="${e.uuid}">${icon(e.kind === "pick" ? "crate" : "image")}<span><b>${e.kind === "pick" ? t("farmer.js.tray.pick", { crate: e.note.code, kg: exactKg(e.payload.crates[0].mass_g) }) : t("farmer.js.tray.photo", { crate: e.note.code })}</b><small>${e.owner === owner ? t(`farmer.js.tray.${state === "sending" || state === "sign_in" ? state : "waiting"}`) : t("farmer.js.tray.other")}</small></span><span class="num">${clock(e.payload.ended_at ?? e.created_at, model.zone)}</span></li>`,
    )}</ul>
    <footer class="foot" data-key="foot">${netLine(model)}${
      state === "sign_in"
        ? html`<a class="btn btn-main btn-block" href="/sign-in?next=/farmer">${t("farmer.js.sign_in")}</a>`
        : waiting.length > 0 &&
          html`${retry_at && html`<p class="net">${icon("timer")}<span>${t("farmer.js.tray.retry_at", { time: clock(retry_at + model.now - Date.now(), model.zone) })}</span></p>`}<button class="btn btn-main btn-block" type="button" data-do="retry-all" ${state === "sending" ? "disabled" : ""}>${t("farmer.js.tray.retry")}</button>`
    }</footer>`;
}

/**
 * @param {Model} model
 * @param {Entry} entry
 */
function refusedEntry(model, entry) {
  const code = entry.problem?.code ?? "refused";
  const key = `farmer.js.problem.${code}`;
  const known = t(key) !== key;
  const isPick = entry.kind === "pick";
  return html`<section class="clash" data-key="refused-${entry.uuid}"><h2>${icon("warn")}${t(isPick ? "farmer.js.tray.refused" : "farmer.js.tray.refused_photo", { crate: entry.note.code })}</h2>
    <p>${known ? t(key) : t("farmer.js.problem.refused")}</p>
    ${!known && entry.problem?.detail && html`<p class="said">${entry.problem.detail}</p>`}
    ${isPick && html`<div class="pair num"><p>${t("farmer.js.tray.you", { time: clock(entry.payload.ended_at, model.zone) })}<b>${exactKg(entry.payload.crates[0].mass_g)} kg</b></p></div>`}
    <p>${t("farmer.js.tray.kept")}</p>
    ${isPick && html`<button class="btn btn-block" type="button" data-do="correct" data-arg="${entry.uuid}">${icon("edit")}${t("farmer.js.tray.correct")}</button>`}
    <button class="btn btn-block" type="button" data-do="again" data-arg="${entry.uuid}">${icon("refresh")}${t("farmer.js.tray.again")}</button>
    <button class="btn btn-block quiet-btn" type="button" data-do="put-away" data-arg="${entry.uuid}">${t("farmer.js.tray.put_away")}</button></section>`;
}

/** @param {Model} model */
export function goneScreen(model) {
  return html`${bar(model, { back: { href: "#/", text: t("farmer.js.today") } })}
    <div class="nothing" data-key="nothing">${icon("info", 32)}<h1>${t("farmer.js.order.gone")}</h1></div>
    <footer class="foot" data-key="foot"><a class="btn btn-main btn-block" href="#/">${t("farmer.js.today")}</a></footer>`;
}
