// What stands on the line: server-sent events, and asking again when they fall silent. The stream says nothing
// while nothing changes, so silence is checked, not believed. The program may be restarted at any time: the page
// stays, knocks every second, and goes on with what it holds.

import { Problem, request } from "/web/shared/kit.js";

const SILENCE_MS = 5000;
const KNOCK_MS = 1000;

/**
 * Follows the line for as long as the page lives.
 * @param {(state: import("./types.js").State) => void} onState
 * @param {(isThere: boolean) => void} onThere told at every change, first when the first answer came or failed
 */
export function follow(onState, onThere) {
  /** @type {EventSource | null} */
  let source = null;
  let heard_at = 0;
  let tried_at = 0;
  let isAsking = false;
  /** @type {boolean | null} */
  let isThere = null;

  const there = (/** @type {boolean} */ now) => {
    if (now === isThere) return;
    isThere = now;
    onThere(now);
  };
  const hear = (/** @type {import("./types.js").State} */ state) => {
    heard_at = performance.now();
    onState(state);
    there(true);
  };
  const listen = () => {
    tried_at = performance.now();
    source?.close();
    source = new EventSource("/stream");
    source.addEventListener("state", (event) => hear(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      source?.close();
      source = null;
      ask();
    });
  };
  const ask = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      hear(await request("GET", "/state", undefined, { timeout_ms: 3000 }));
    } catch (error) {
      // A line started anew has forgotten who signed in; what is half made stays on this computer meanwhile.
      if (error instanceof Problem && error.status === 401) location.assign("/sign-in");
      there(false);
    } finally {
      isAsking = false;
    }
  };
  const look = () => {
    const now = performance.now();
    if (!source && now - tried_at >= KNOCK_MS) listen();
    else if (now - heard_at >= SILENCE_MS) ask();
  };
  setInterval(look, KNOCK_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") ask();
  });
  listen();
}
