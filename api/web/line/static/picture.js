// The live picture. The stream of JPEGs is read by hand, because an <img> cannot say that its stream stopped; where
// the stream does not come, single pictures are fetched. The age of what is on the screen is always known, and said.

import { el, formatClock, formatNumber, need, t } from "/web/shared/kit.js";
import { icon } from "./icons.js";

const STALL_MS = 4000;
const SINGLE_MS = 700;
const RETRY_STREAM_MS = 10000;
const OLD_MS = 3000;

const canvas = /** @type {HTMLCanvasElement} */ (need("#picture"));
const veil = need("#veil");
const caption = need("#caption");

let shown_at = 0;
let isStream = false;
/** @type {Blob | null} */
let next = null;
let isDrawing = false;
let retry_at = 0;
/** @type {AbortController | null} */
let reading = null;

/** Shows the newest picture only: while one is being decoded, those in between are let go. */
async function draw() {
  if (isDrawing || !next) return;
  isDrawing = true;
  const blob = next;
  next = null;
  try {
    const image = await createImageBitmap(blob);
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    canvas.getContext("2d")?.drawImage(image, 0, 0);
    image.close();
    canvas.hidden = false;
    shown_at = performance.now();
  } catch {
    // A broken picture is skipped; if no whole one follows, the age says so.
  } finally {
    isDrawing = false;
    if (next) draw();
  }
}

/** @param {Blob} blob */
function offer(blob) {
  next = blob;
  draw();
}

const text = new TextDecoder("latin1");

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array} wanted
 * @param {number} from
 */
function find(bytes, wanted, from) {
  const first = wanted[0] ?? 0;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + wanted.length > bytes.length) return -1;
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

/** Reads /picture.mjpg part by part until it ends, stalls or breaks. */
async function readStream() {
  const abort = new AbortController();
  reading = abort;
  let stall = window.setTimeout(() => abort.abort(), STALL_MS);
  try {
    const answer = await fetch("/picture.mjpg", { signal: abort.signal, cache: "no-store" });
    const name = /boundary="?([^";]+)/.exec(answer.headers.get("content-type") ?? "")?.[1];
    if (!answer.ok || !answer.body || !name) return;
    const boundary = new TextEncoder().encode(`--${name.replace(/^--/, "")}`);
    const blank = new Uint8Array([13, 10, 13, 10]);
    const reader = answer.body.getReader();
    let held = new Uint8Array(0);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const joined = new Uint8Array(held.length + value.length);
      joined.set(held);
      joined.set(value, held.length);
      held = joined;
      for (;;) {
        const start = find(held, boundary, 0);
        const head = start < 0 ? -1 : find(held, blank, start);
        if (head < 0) break;
        const told = /content-length:\s*(\d+)/i.exec(text.decode(held.subarray(start, head)))?.[1];
        const body = head + blank.length;
        const end = told ? body + Number(told) : find(held, boundary, body);
        if (end < 0 || end > held.length) break;
        offer(new Blob([held.slice(body, end)], { type: "image/jpeg" }));
        held = held.slice(end);
        isStream = true;
        clearTimeout(stall);
        stall = window.setTimeout(() => abort.abort(), STALL_MS);
      }
      if (held.length > 32 << 20) return;
    }
  } catch {
    // Ended, stalled or refused: single pictures come next.
  } finally {
    clearTimeout(stall);
    isStream = false;
    abort.abort();
  }
}

async function readSingle() {
  try {
    const answer = await fetch("/picture.jpg", { cache: "no-store", signal: AbortSignal.timeout(3000) });
    if (answer.ok) offer(await answer.blob());
  } catch {
    // The program is away; the age of the picture says so.
  }
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function run() {
  for (;;) {
    if (document.visibilityState === "hidden") {
      await pause(500);
      continue;
    }
    await readStream();
    retry_at = performance.now() + RETRY_STREAM_MS;
    while (performance.now() < retry_at && document.visibilityState === "visible") {
      await readSingle();
      await pause(SINGLE_MS);
    }
  }
}

/** The line program is back: its stream is tried at once. */
export function tryStream() {
  retry_at = 0;
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") reading?.abort();
});

/**
 * What hides the picture, if anything does: the most basic trouble first.
 * @param {import("./types.js").State} state
 * @param {boolean} isThere whether the line program answers
 * @returns {{kind: string, words: string, more: string, isWrong: boolean} | null}
 */
function trouble(state, isThere) {
  const since = formatClock(state.source.since);
  const age_ms = shown_at ? performance.now() - shown_at : null;
  if (!isThere)
    return { kind: "away", words: t("line.js.picture.away"), more: t("line.js.picture.still"), isWrong: true };
  if (state.source.state !== "running") {
    const key = `line.js.picture.${state.source.state}`;
    return {
      kind: state.source.state,
      words: t(key, { time: since }),
      more: t(`${key}.more`),
      isWrong: state.source.state === "lost",
    };
  }
  if (age_ms === null) return { kind: "first", words: t("line.js.picture.first"), more: "", isWrong: false };
  if (age_ms > OLD_MS) {
    const words = t("line.js.picture.old", { n: Math.round(age_ms / 1000) });
    return { kind: "old", words, more: t("line.js.picture.still"), isWrong: true };
  }
  if (state.alarms.some((alarm) => alarm.kind === "emergency"))
    return { kind: "emergency", words: t("line.js.picture.emergency"), more: "", isWrong: true };
  if (state.alarms.some((alarm) => alarm.level === "stop"))
    return { kind: "stopped", words: t("line.js.picture.stopped"), more: "", isWrong: true };
  return null;
}

let told = "";

/**
 * @param {import("./types.js").State} state
 * @param {boolean} isThere
 */
export function showPicture(state, isThere) {
  const wrong = trouble(state, isThere);
  const fps = formatNumber(Math.round(state.source.fps * 10) / 10);
  const live = !wrong || wrong.kind === "emergency" || wrong.kind === "stopped";
  const now = JSON.stringify([wrong, fps, live, isStream, state.source]);
  if (now === told) return;
  told = now;
  veil.hidden = !wrong;
  veil.dataset.kind = wrong?.kind ?? "";
  veil.classList.toggle("wrong", wrong?.isWrong ?? false);
  veil.replaceChildren(
    ...(wrong
      ? [
          el(
            "p",
            { class: "veil-words" },
            icon(wrong.isWrong ? "warn" : "clock"),
            el("b", {}, wrong.words),
            wrong.more && el("span", {}, wrong.more),
          ),
        ]
      : []),
  );
  caption.replaceChildren(
    el(
      "span",
      { class: `pulse${live ? " on" : ""}` },
      t(live ? (isStream ? "line.js.picture.live" : "line.js.picture.single") : "line.js.picture.not_live"),
    ),
    live ? el("span", { class: "num" }, t("line.js.fps", { fps })) : "",
    el("span", { class: "caption-name quiet" }, state.source.name),
  );
}

run();
