// The evidence of one step, or of the whole page: what was recomputed, with the hashes to compare.
import { el, formatClock, formatNumber, icon, need, svg, t } from "/web/shared/kit.js";
import { toHex, utf8 } from "/web/shared/verify/bytes.js";
import { cosignatures, parseWitnessKey } from "/web/shared/verify/cosign.js";
import { VerificationError } from "/web/shared/verify/errors.js";
import { leafHash } from "/web/shared/verify/merkle.js";

/** @typedef {import("/web/consumer/consumer.js").Outcome} Outcome */

/**
 * Opens the drawer on a step, or on everything where none is given.
 * @param {Outcome} outcome
 * @param {Element | null} step
 */
export function openDrawer(outcome, step) {
  const dialog = /** @type {HTMLDialogElement} */ (need("#drawer"));
  const state = step ? outcome.states.get(step) : undefined;
  const checks = checksOf(outcome, step);
  const held = checks.filter((check) => check.dataset.state === "ok").length;
  const isBad = checks.some((check) => check.dataset.state === "bad") || state === "bad";
  const words = isBad ? "bad" : held === checks.length ? "ok" : "some";
  const close = el(
    "button",
    { class: "close", type: "button", "aria-label": t("consumer.js.drawer.close") },
    icon("cross"),
  );
  close.addEventListener("click", () => dialog.close());
  const titles = el(
    "div",
    {},
    el("h2", { id: "drawer-title" }, t(`consumer.js.drawer.${words}`, { n: held })),
    el("p", {}, t("consumer.js.drawer.by", { at: formatClock(outcome.at) })),
  );
  const size = `${formatNumber(Math.round(outcome.bytes.length / 100) / 10)}\u00a0kB`;
  const acts = el(
    "div",
    { class: "acts" },
    el(
      "a",
      { class: "btn btn-main", href: outcome.page.proof, download: true },
      icon("download", 20),
      t("consumer.js.drawer.download", { size }),
    ),
    el("a", { class: "btn btn-text", href: "#check", onclick: () => dialog.close() }, t("consumer.js.drawer.offline")),
  );
  dialog.replaceChildren(
    el("header", {}, titles, close),
    el("div", { class: "body" }, el("ol", { class: "checks" }, ...checks), ...recordsOf(outcome, step), acts),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close(), { once: true });
  dialog.showModal();
}

/**
 * @param {Outcome} outcome
 * @param {Element | null} step
 * @returns {HTMLElement[]}
 */
function checksOf({ proof, verified, witnesses, chain, node, facts, files, states }, step) {
  const indexes = new Set(step ? leavesOf(step) : verified.entries.map(({ index }) => index));
  const entries = proof.entries.filter(({ index }) => indexes.has(index));
  const isBad = step !== null && states.get(step) === "bad";
  const main = entries[entries.length - 1];
  if (!main) return [check("wait", t("consumer.js.step_pending"))];
  const anchor = verified.anchor;
  const isAnchored = anchor !== null && main.index < anchor.size;
  const isNewest = anchor !== null && anchor.size === verified.size;
  const found = [
    check(
      isBad ? "bad" : "ok",
      isBad ? t("consumer.js.step_bad") : t("consumer.js.drawer.entry", { n: entries.length }),
      facts_([[t("consumer.js.drawer.leaf"), toHex(leafHash(utf8(main.data))), true]]),
    ),
    check(
      "ok",
      t("consumer.js.drawer.in_log", { index: formatNumber(main.index), size: formatNumber(verified.size) }),
      merkle(main.index, main.path.length),
      facts_([["", t("consumer.js.drawer.path", { n: main.path.length }), false]]),
    ),
    check(
      "ok",
      t("consumer.js.drawer.signed"),
      facts_([
        [t("consumer.js.drawer.head"), verified.root, true],
        [t("consumer.js.drawer.key"), verified.key, true],
      ]),
    ),
    ...witnessed(proof.checkpoint, witnesses),
  ];
  const chainWords = !isAnchored
    ? "chain_wait"
    : chain === "confirmed"
      ? isNewest
        ? "chain"
        : "chain_extends"
      : "chain_away";
  found.push(
    check(
      isAnchored && chain === "confirmed" ? "ok" : "wait",
      t(`consumer.js.drawer.${chainWords}`),
      anchor &&
        facts_([
          [t("consumer.js.drawer.block"), formatNumber(anchor.block), false],
          [t("consumer.js.drawer.contract"), anchor.contract, true],
          [t("consumer.js.drawer.chain_id"), String(anchor.chain_id), true],
          ...(node ? [/** @type {[string, string, boolean]} */ ([t("consumer.js.drawer.asked"), node, true])] : []),
        ]),
      anchor && lookup(anchor.transaction),
    ),
  );
  if (!step) {
    found.push(check("ok", t("consumer.js.drawer.numbers", { n: facts })));
    if (files > 0) found.push(check("ok", t("consumer.js.drawer.photos", { n: files })));
  }
  return found;
}

/**
 * Which of the witnesses this site names signed the head, and when by their clocks. Others may be asked for in a file.
 * @param {string} note
 * @param {string[]} keys
 */
function witnessed(note, keys) {
  if (keys.length === 0) return [];
  try {
    const given = cosignatures(note, keys.map(parseWitnessKey));
    const rows = given.map(
      ({ name, timeS }) => /** @type {[string, string, boolean]} */ ([name, minute(timeS), false]),
    );
    const words = t("consumer.js.drawer.witnesses", { n: given.length, m: keys.length });
    return [check(given.length > 0 ? "ok" : "wait", words, facts_(rows))];
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return [check("bad", error.message)];
  }
}

/** A minute in UTC. @param {number} timeS */
function minute(timeS) {
  return `${new Date(timeS * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/**
 * How to see the anchor without us, as the page itself says it further down; with the transaction's own link.
 * @param {string} transaction
 */
function lookup(transaction) {
  const shown = document.querySelector("#check .see-there");
  if (!(shown instanceof HTMLElement)) return null;
  const copy = /** @type {HTMLElement} */ (shown.cloneNode(true));
  const link = copy.querySelector("a");
  if (link) link.href = `${shown.dataset.explorer}/tx/${transaction}`;
  return copy;
}

/**
 * The records themselves, as they are sealed.
 * @param {Outcome} outcome
 * @param {Element | null} step
 */
function recordsOf({ sources }, step) {
  if (!step) return [];
  return leavesOf(step)
    .slice(-12)
    .filter((index) => sources.has(String(index)))
    .map((index) =>
      el(
        "details",
        {},
        el(
          "summary",
          {},
          `${nameOf(sources.get(String(index)))} · ${t("consumer.js.drawer.nth", { n: formatNumber(index) })}`,
        ),
        el("pre", {}, JSON.stringify(sources.get(String(index)), null, 1)),
      ),
    );
}

/** @param {any} event */
function nameOf(event) {
  const name = String(event["gy:sentence"] ?? "").split("/")[0];
  return t(`consumer.sentence.${name}`);
}

/**
 * @param {"ok" | "wait" | "bad"} state
 * @param {string} words
 * @param {...(Node | null)} more
 */
function check(state, words, ...more) {
  const mark = icon({ ok: "check", wait: "clock", bad: "cross" }[state], 20);
  return el("li", { "data-state": state }, mark, el("div", {}, el("b", {}, words), ...more));
}

/** @param {[string, string, boolean][]} rows  name, value, whether it is a hash */
function facts_(rows) {
  const list = el("dl");
  for (const [name, value, isHash] of rows) {
    if (name) list.append(el("dt", {}, name));
    list.append(el("dd", isHash ? { class: "mono" } : {}, isHash ? grouped(value) : value));
  }
  return list;
}

/** A long hash in groups that an eye can compare. @param {string} text */
function grouped(text) {
  return /^[0-9a-f]{64}$/.test(text) ? (text.match(/.{8}/g) ?? []).join(" ") : text;
}

/**
 * The way from a leaf up to the head: its first three levels, then the rest as dots.
 * @param {number} index
 * @param {number} levels
 */
function merkle(index, levels) {
  const shown = Math.min(3, levels);
  const height = 34 * shown + 66;
  const drawing = svg("svg", { class: "merkle", viewBox: `0 0 330 ${height}`, "aria-hidden": "true" });
  let [x, y] = [84, height - 12];
  const nodes = [];
  for (let level = 0; level < shown; level++) {
    const isRight = (index >> level) & 1;
    const dx = isRight ? -17 : 17;
    const [up, side] = [
      { x: x + dx, y: y - 34 },
      { x: x + 2 * dx, y },
    ];
    drawing.append(svg("line", { class: "side", x1: side.x, y1: side.y, x2: up.x, y2: up.y }));
    drawing.append(svg("path", { class: "path", d: `M${x} ${y}L${up.x} ${up.y}` }));
    nodes.push(svg("circle", { class: "sibling", cx: side.x, cy: side.y, r: 4 }));
    if (level > 0) nodes.push(svg("circle", { class: "node", cx: x, cy: y, r: 4 }));
    else nodes.push(svg("rect", { class: "leaf", x: x - 6, y: y - 6, width: 12, height: 12, rx: 2 }));
    [x, y] = [up.x, up.y];
  }
  if (levels > shown) {
    nodes.push(svg("circle", { class: "node", cx: x, cy: y, r: 4 }));
    drawing.append(svg("path", { class: "path", d: `M${x} ${y}V14`, "stroke-dasharray": "1 6" }));
    drawing.append(words(150, y - 14, t("consumer.js.drawer.up", { n: levels - shown })));
  }
  nodes.push(svg("circle", { class: "head", cx: x, cy: 10, r: 6 }));
  drawing.append(...nodes, words(150, 15, t("consumer.js.drawer.head")));
  drawing.append(
    words(150, height - 42, t("consumer.js.drawer.sibling")),
    words(150, height - 8, t("consumer.js.drawer.this")),
  );
  return drawing;
}

/** @param {number} x @param {number} y @param {string} text */
function words(x, y, text) {
  const node = svg("text", { x, y });
  node.textContent = text;
  return node;
}

/** @param {Element} step */
function leavesOf(step) {
  return (step.getAttribute("data-leaves") ?? "")
    .split(",")
    .filter(Boolean)
    .flatMap((part) => {
      const [first, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}
