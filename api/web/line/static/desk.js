// What every part of the console works with: words in the reader's language, saying what came of an act, dialogs
// with keys of their own, because the panel has no keyboard.

import { el, fill, lang, need, Problem, t } from "/web/shared/kit.js";
import { icon } from "./icons.js";

const FRESH_MS = 500;
const spoken = need("#say");
let quiet = 0;

/**
 * A text of the line program in the reader's language.
 * @param {import("./types.js").Text} text
 */
export const words = (text) => (lang === "zh" ? text.zh || text.en : text.en || text.zh);

/**
 * A message, or what stands in for it where the files do not know the key.
 * @param {string} key
 * @param {string} otherwise
 */
export const wordOr = (key, otherwise) => {
  const found = t(key);
  return found === key ? otherwise : found;
};

/**
 * A lot as people call it: the last part of its address.
 * @param {string} lot
 */
export function lotName(lot) {
  try {
    return decodeURIComponent(lot.split("/").at(-1) || lot);
  } catch {
    return lot;
  }
}

/**
 * `1.2 kg` is too fine for a counter: whole kilograms from ten on, a decimal below.
 * @param {number} mass_g
 */
export function formatCrates(mass_g) {
  const kg = mass_g / 1000;
  const places = kg < 10 ? 2 : kg < 100 ? 1 : 0;
  return `${kg.toLocaleString(lang === "zh" ? "zh-CN" : "en-GB", { minimumFractionDigits: places, maximumFractionDigits: places })}\u00a0kg`;
}

/**
 * The mark of a tier: A filled, B half, C ring; a cull has a cross, any other name its first letter.
 * @param {string} tier
 * @param {"" | "lg" | "xl" | "xxl"} [size]
 * @param {string} [name]
 */
export function mark(tier, size = "", name = tier) {
  const letter =
    tier === "cull" || tier === "reject" ? "×" : tier === "doubtful" ? "?" : ([...tier][0]?.toUpperCase() ?? "?");
  const shape = ["A", "B", "C", "doubtful"].includes(tier) ? tier.toLowerCase() : letter === "×" ? "cull" : "c";
  return el(
    "span",
    { class: `tier tier-${shape}${size ? ` tier-${size}` : ""}`, role: "img", "aria-label": name },
    letter,
  );
}

/**
 * Says one sentence at the foot of the console for a few seconds.
 * @param {string} text
 * @param {"ok" | "bad" | "wait"} [state]
 */
export function say(text, state = "ok") {
  clearTimeout(quiet);
  spoken.dataset.state = state;
  fill(spoken, icon(state === "ok" ? "check" : state === "bad" ? "warn" : "clock"), el("span", {}, text));
  spoken.classList.add("on");
  quiet = window.setTimeout(() => spoken.classList.remove("on"), state === "ok" ? 4500 : 9000);
}

/**
 * A refusal in the reader's language, as the line program words it.
 * @param {unknown} error
 */
export function refusal(error) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 0) return t("line.js.no_answer");
  const zh = error.facts.detail_zh;
  return lang === "zh" && typeof zh === "string" ? zh : error.message;
}

/** Whether the line program itself refused, so that asking again would change nothing. @param {unknown} error */
export const isRefused = (error) =>
  error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;

/** @type {() => Node} */
let always = () => el("span");

/** Sets what every dialog keeps within reach: a panel that asks must not hide the emergency. @param {() => Node} make */
export const keepInReach = (make) => {
  always = make;
};

/**
 * Opens a dialog and resolves with what `finish` was called with, or null when it was closed. For half a second only
 * its head takes a finger: the second tap of the one that opened it must not answer it.
 * @template T
 * @param {string} title
 * @param {(finish: (value: T) => void) => (Node | string | null)[]} build
 * @param {string} [shape]
 * @returns {Promise<T | null>}
 */
export function ask(title, build, shape = "") {
  return new Promise((resolve) => {
    /** @type {T | null} */
    let chosen = null;
    const dialog = el("dialog", { class: `ask fresh ${shape}`, "aria-label": title });
    const finish = (/** @type {T} */ value) => {
      chosen = value;
      dialog.close();
    };
    const shut = el("button", { type: "button", class: "shut", "aria-label": t("line.js.cancel") }, icon("cross", 32));
    shut.addEventListener("click", () => dialog.close());
    const parts = build(finish).filter((part) => part !== null);
    const name = el("h2", { tabindex: -1, autofocus: shape !== "ask-code" }, title);
    dialog.append(el("header", {}, name, always(), shut), ...parts);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(chosen);
    });
    document.body.append(dialog);
    dialog.showModal();
    setTimeout(() => dialog.classList.remove("fresh"), FRESH_MS);
  });
}

/**
 * A button as large as a gloved thumb.
 * @param {string} text
 * @param {() => void} onclick
 * @param {{kind?: string, icon?: string, disabled?: boolean, id?: string}} [options]
 */
export function button(text, onclick, { kind = "", icon: name = "", disabled = false, id } = {}) {
  const made = el(
    "button",
    { type: "button", id, class: `push ${kind}`, disabled },
    name && icon(name),
    el("span", {}, text),
  );
  made.addEventListener("click", onclick);
  return made;
}

/**
 * Keys for digits and a decimal point.
 * @param {(key: string) => void} press digits, "." or "back"
 */
export const numberKeys = (press) =>
  keys(["1", "2", "3", "4", "5", "6", "7", "8", "9", ".", "0", "back"], "keys", press);

const LETTERS = ["1234567890", "QWERTYUIOP", "ASDFGHJKL-", "ZXCVBNM/_"];

/**
 * @param {string[]} names
 * @param {string} shape
 * @param {(key: string) => void} press
 */
function keys(names, shape, press) {
  const made = names.map((key) => {
    const one = el("button", { type: "button", class: `key num${key === "back" ? " key-back" : ""}` });
    if (key === "back") one.setAttribute("aria-label", t("line.js.erase"));
    one.append(key === "back" ? icon("backspace") : key);
    one.addEventListener("click", () => press(key));
    return one;
  });
  return el("div", { class: shape }, ...made);
}

/**
 * Asks for a code: typed on a keyboard, scanned, or pressed on keys the panel draws.
 * @param {{title: string, body: string, label: string, ok: string, isSecret?: boolean, wrong?: string}} options
 * @returns {Promise<string | null>}
 */
export function askCode({ title, body, label, ok, isSecret = false, wrong = "" }) {
  return ask(
    title,
    (finish) => {
      const input = el("input", {
        type: isSecret ? "password" : "text",
        autofocus: true,
        name: "code",
        autocomplete: "off",
        autocapitalize: "characters",
        spellcheck: "false",
        maxlength: 200,
      });
      const done = el("button", { class: "huge huge-main", disabled: true }, ok);
      const draw = () => {
        done.disabled = !input.value.trim();
      };
      input.addEventListener("input", draw);
      const form = el(
        "form",
        { class: "stack" },
        el("p", { class: "quiet" }, body),
        wrong ? el("p", { class: "wrong-words", role: "alert" }, wrong) : null,
        el("label", { class: "field" }, el("span", {}, label), input),
        keys([...LETTERS.join(""), "back"], "letters", (key) => {
          input.value = key === "back" ? input.value.slice(0, -1) : input.value + key;
          draw();
        }),
        done,
      );
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (input.value.trim()) finish(input.value.trim());
      });
      return [form];
    },
    "ask-code",
  );
}
