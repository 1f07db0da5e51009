// @ts-check
/** The overlay: drawn by the server, kept live here, and honest about its age when the line is down. */
import { patch } from "/web/shared/dom.js";
import { formatClock, live, need, pageData, t } from "/web/shared/kit.js";

const RELOAD_AFTER_MS = 120_000;

const page = /** @type {{token: string, as_of: string}} */ (pageData("overlay-data"));
const main = need("#main");
const address = `/overlay/${encodeURIComponent(page.token)}`;
let skew = Date.parse(page.as_of) - Date.now();
let asOf = page.as_of;
let lostAt = 0;

async function refresh() {
  try {
    const response = await fetch(`${address}?part=1`);
    if (response.ok) patch(main, await response.text());
    tick();
  } catch {
    // The stream says when it is down; it will call again.
  }
}

function tick() {
  for (const node of main.querySelectorAll("[data-until]")) {
    const left = Date.parse(node.getAttribute("data-until") ?? "") - Date.now() - skew;
    const whole = Math.max(0, Math.floor(left / 1000));
    const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    node.textContent = parts.map((n) => String(n).padStart(2, "0")).join(":");
  }
  const note = document.getElementById("stale");
  if (note) note.textContent = lostAt ? t("host.js.stale", { time: formatClock(asOf) }) : "";
  // Broadcasting software sometimes leaves a page asleep: one that heard nothing for long starts afresh.
  if (lostAt && Date.now() - lostAt > RELOAD_AFTER_MS && navigator.onLine) location.reload();
}

live(
  `${address}/stream`,
  {
    changed: (state) => {
      skew = Date.parse(state.as_of) - Date.now();
      asOf = state.as_of;
      void refresh();
    },
  },
  (state) => {
    if (state === "open") lostAt = 0;
    else if (state === "waiting" && lostAt === 0) lostAt = Date.now();
    tick();
  },
);
tick();
setInterval(tick, 1000);
document.documentElement.dataset.ready = "yes";
