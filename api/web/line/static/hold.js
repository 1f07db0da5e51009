// A button that wants to be held: a sleeve that brushes it does nothing. By touch, mouse, space bar or Enter.

import { el, svg, t } from "/web/shared/kit.js";
import { icon } from "./icons.js";

/**
 * @param {{id?: string, kind: string, mark: string, words: string, hint: string, hold_ms: number, done: () => void}} options
 */
export function holdButton({ id, kind, mark, words, hint, hold_ms, done }) {
  const bar = svg("rect", { class: "hold-fill", width: 0, height: 10 });
  const rail = svg(
    "svg",
    { class: "hold-bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    bar,
  );
  const small = el("small", {}, hint);
  const made = el(
    "button",
    { type: "button", id, class: `hold ${kind}` },
    icon(mark, 32),
    el("span", { class: "hold-words" }, el("b", {}, words), small),
    rail,
  );
  let began = 0;
  let frame = 0;
  const step = () => {
    const share = Math.min(1, (performance.now() - began) / hold_ms);
    bar.setAttribute("width", String(share * 100));
    if (share < 1) {
      frame = requestAnimationFrame(step);
      return;
    }
    stop();
    done();
  };
  const start = () => {
    if (frame || made.disabled) return;
    began = performance.now();
    made.classList.add("held");
    small.textContent = t("line.js.hold.on");
    frame = requestAnimationFrame(step);
  };
  const stop = () => {
    cancelAnimationFrame(frame);
    frame = 0;
    made.classList.remove("held");
    small.textContent = hint;
    bar.setAttribute("width", "0");
  };
  made.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    made.setPointerCapture(event.pointerId);
    start();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) made.addEventListener(name, stop);
  made.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) start();
  });
  made.addEventListener("keyup", stop);
  made.addEventListener("click", (event) => event.preventDefault());
  made.addEventListener("contextmenu", (event) => event.preventDefault());
  return made;
}
