// What every view of the panel works with: asking the server, saying what came of it, dialogs for a
// weight, a choice, a photograph.

import { el, fill, formatKg, icon, need, Problem, t } from "/web/shared/kit.js";

const spoken = need("#say");
let quiet = 0;

/**
 * Says one sentence at the foot of the panel for a few seconds.
 * @param {string} text
 * @param {"ok" | "bad" | "wait"} [state]
 */
export function say(text, state = "ok") {
  clearTimeout(quiet);
  spoken.dataset.state = state;
  fill(spoken, icon(state === "ok" ? "check" : state === "bad" ? "warn" : "clock"), el("span", {}, text));
  spoken.classList.add("on");
  if (state !== "wait") quiet = window.setTimeout(() => spoken.classList.remove("on"), state === "ok" ? 4500 : 9000);
}

/**
 * Runs one request and says what came of it; the server's refusal is shown in its own words.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => string} told
 * @returns {Promise<T | null>}
 */
export async function act(ask, told) {
  try {
    const answer = await ask();
    say(told(answer));
    return answer;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(error.message, "bad");
    return null;
  }
}

/**
 * Opens a dialog and resolves with what `finish` was called with, or null when it was closed.
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
    const dialog = el("dialog", { class: `ask ${shape}`, "aria-label": title });
    const finish = (/** @type {T} */ value) => {
      chosen = value;
      dialog.close();
    };
    const shut = el("button", { type: "button", class: "shut", "aria-label": t("station.js.cancel") }, icon("cross"));
    shut.addEventListener("click", () => dialog.close());
    const parts = build(finish).filter((part) => part !== null);
    dialog.append(el("header", {}, el("h2", {}, title), shut), ...parts);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(chosen);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Asks for a weight in kilograms on large keys; resolves with grams.
 * @param {{title: string, expect: string, ok: string, check: (grams: number) => {text: string, state: "ok" | "wait" | "bad"}}} options
 * @returns {Promise<number | null>}
 */
export function askWeight({ title, expect, ok, check }) {
  return ask(
    title,
    (finish) => {
      let typed = "";
      const shown = el("output", { class: "typed num" });
      const verdict = el("p", { class: "typed-verdict", role: "status" });
      const done = el("button", { type: "button", class: "huge huge-main" });
      const grams = () => Math.round(Number(typed || "0") * 1000);
      const draw = () => {
        fill(shown, typed || "0", el("small", {}, t("station.js.kg")));
        const { text, state } = grams() > 0 ? check(grams()) : { text: "", state: "wait" };
        verdict.dataset.state = state;
        verdict.textContent = text;
        done.disabled = grams() <= 0 || state === "bad";
        done.textContent = t(ok, { mass: formatKg(grams()) });
      };
      const press = (/** @type {string} */ key) => {
        if (key === "back") typed = typed.slice(0, -1);
        else if (key === ".") typed += typed.includes(".") ? "" : typed ? "." : "0.";
        else if ((typed.split(".")[1] ?? "").length < 3 && typed.length < 9) typed = typed === "0" ? key : typed + key;
        draw();
      };
      const keys = ["1", "2", "3", "4", "5", "6", "7", "8", "9", ".", "0", "back"].map((key) => {
        const button = el("button", { type: "button", class: "key num" });
        if (key === "back") button.setAttribute("aria-label", t("station.js.erase"));
        button.append(key === "back" ? icon("backspace") : key);
        button.addEventListener("click", () => press(key));
        return button;
      });
      const pad = el("div", { class: "keys" }, ...keys);
      pad.addEventListener("keydown", (event) => {
        const key = event.key === "Backspace" ? "back" : event.key;
        if (/^[0-9.]$|^back$/.test(key)) press(key);
      });
      done.addEventListener("click", () => finish(grams()));
      draw();
      return [el("p", { class: "quiet" }, expect), shown, verdict, pad, done];
    },
    "ask-weight",
  );
}

/**
 * Asks for a photograph: the camera where there is one, a file otherwise.
 * @returns {Promise<File | null>}
 */
export function askPicture() {
  return new Promise((resolve) => {
    const input = el("input", { type: "file", accept: "image/jpeg,image/png,image/webp", capture: "environment" });
    input.addEventListener("change", () => resolve(input.files?.[0] ?? null));
    input.addEventListener("cancel", () => resolve(null));
    input.click();
  });
}

/**
 * Returns a button.
 * @param {string} text
 * @param {() => void} onclick
 * @param {{kind?: string, mark?: string, disabled?: boolean}} [options]
 */
export function button(text, onclick, { kind = "", mark = "", disabled = false } = {}) {
  const made = el(
    "button",
    { type: "button", class: `push ${kind}`, disabled },
    mark && icon(mark),
    el("span", {}, text),
  );
  made.addEventListener("click", onclick);
  return made;
}

/**
 * The name of a variety in the reader's language, or as it was written.
 * @param {string} variety
 */
export function varietyName(variety) {
  const key = `station.js.variety.${variety}`;
  const name = t(key);
  return name === key ? variety : name;
}

/**
 * Returns an empty place that says what will stand there.
 * @param {string} mark
 * @param {string} key of `.title` and `.body`
 * @param {...Node} more
 */
export function nothing(mark, key, ...more) {
  return el(
    "div",
    { class: "nothing" },
    icon(mark, 32),
    el("h2", {}, t(`${key}.title`)),
    el("p", {}, t(`${key}.body`)),
    ...more,
  );
}
