// @ts-check
/** The host's console: the server draws the board, this keeps it live, counts the seconds and sends what is touched. */
import { patch } from "/web/shared/dom.js";
import { formatClock, live, need, Problem, pageData, postJson, t } from "/web/shared/kit.js";

const REFRESH_AT_MOST_EVERY_MS = 400;
const TOAST_MS = 4_000;

const page = /** @type {{ref: string, as_of: string, is_new: boolean}} */ (pageData("board-data"));
const board = need("#board");
const stale = need("#stale");
const toast = need("#toast");
const dialog = /** @type {HTMLDialogElement} */ (need("#close-dialog"));

/** How far this clock is behind the server's. */
let skew = Date.parse(page.as_of) - Date.now();
let asOf = page.as_of;
let wanted = false;
let refreshing = false;

const base = `/api/v1/host/broadcasts/${encodeURIComponent(page.ref)}`;

// --- the board ------------------------------------------------------------------------------------

/** Draw the board again, soon, and not more often than a reader can follow. */
async function refresh() {
  wanted = true;
  if (refreshing) return;
  refreshing = true;
  while (wanted) {
    wanted = false;
    try {
      const response = await fetch(`/host/board?broadcast=${encodeURIComponent(page.ref)}`, { redirect: "manual" });
      if (response.ok) {
        patch(board, await response.text());
        tick();
      } else if (response.type === "opaqueredirect" || response.status === 401) {
        location.reload();
      }
    } catch {
      wanted = false;
    }
    await new Promise((resolve) => setTimeout(resolve, REFRESH_AT_MOST_EVERY_MS));
  }
  refreshing = false;
}

/** @param {number} ms */
function hms(ms) {
  const whole = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((n) => String(n).padStart(2, "0")).join(":");
}

function tick() {
  const now = Date.now() + skew;
  for (const node of board.querySelectorAll("[data-until]")) {
    const left = Date.parse(node.getAttribute("data-until") ?? "") - now;
    node.textContent = hms(left);
    node.classList.toggle("soon", left < 5 * 60_000);
  }
  for (const node of board.querySelectorAll("[data-since]")) {
    node.textContent = hms(now - Date.parse(node.getAttribute("data-since") ?? ""));
  }
}

// --- what a touch does ----------------------------------------------------------------------------

let toastTimer = 0;

/** @param {string} text */
function say(text, isBad = false) {
  toast.textContent = text;
  toast.dataset.state = isBad ? "bad" : "ok";
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => {
    toast.hidden = true;
  }, TOAST_MS);
}

/**
 * Send and draw again; a refusal is said in the server's words, where it belongs.
 * @param {string} address
 * @param {unknown} body
 * @param {Element | null} [wrong]  where a refusal is shown; a passing notice without it
 */
async function send(address, body, wrong = null) {
  try {
    const answer = await postJson(address, body);
    if (wrong instanceof HTMLElement) wrong.hidden = true;
    if (page.ref) void refresh();
    return answer;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) location.reload();
    if (wrong instanceof HTMLElement) {
      wrong.textContent = problem.message;
      wrong.hidden = false;
    } else say(problem.message, true);
    return null;
  }
}

/** @type {Record<string, (target: HTMLElement) => void | Promise<unknown>>} */
const actions = {
  price: ({ dataset }) => send(`${base}/listings/${dataset.tier}/price`, { price_fen: Number(dataset.fen) }),
  air: ({ dataset }) => send(`${base}/air`, { kind: dataset.kind, value: dataset.value ?? "" }),
  "ask-close": () => dialog.showModal(),
  copy: async ({ dataset }) => {
    const url = new URL(dataset.url ?? "", location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      say(t("host.js.copied"));
    } catch {
      say(t("host.js.copy_failed", { url }), true);
    }
  },
};

document.addEventListener("click", async (event) => {
  const target = /** @type {Element} */ (event.target).closest("button[data-do]");
  if (!(target instanceof HTMLButtonElement) || target.disabled) return;
  target.disabled = true;
  await actions[target.dataset.do ?? ""]?.(target);
  target.disabled = false;
});

document.addEventListener("change", (event) => {
  const select = event.target;
  if (!(select instanceof HTMLSelectElement) || select.dataset.do !== "variety") return;
  for (const label of board.querySelectorAll("[data-variety]")) {
    const isOffered = label.getAttribute("data-variety") === select.value;
    label.toggleAttribute("hidden", !isOffered);
    const box = label.querySelector("input");
    if (box && !isOffered) box.checked = false;
  }
});

dialog.addEventListener("close", async () => {
  if (dialog.returnValue === "close") await send(`${base}/close`, {});
});

/**
 * @param {FormData} data
 * @param {string} name
 */
const number = (data, name) => Number(String(data.get(name) ?? "").replace(",", "."));

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.dataset.form) return;
  event.preventDefault();
  const data = new FormData(form);
  const wrong = form.querySelector(".wrong");
  const refuse = (/** @type {string} */ text) => {
    if (wrong instanceof HTMLElement) Object.assign(wrong, { textContent: text, hidden: false });
  };
  if (form.dataset.form === "open") {
    const closes_at = new Date(Date.now() + skew + number(data, "minutes") * 60_000).toISOString();
    const opened = await send("/api/v1/host/broadcasts", { title: data.get("title"), closes_at }, wrong);
    if (opened) location.assign("/host");
    return;
  }
  const pieces = number(data, "pieces");
  if (!(pieces > 0)) return refuse(t("host.js.need_number"));
  if (form.dataset.form === "more") {
    await send(`${base}/listings/${form.dataset.tier}/pieces`, { pieces }, wrong);
    return;
  }
  const plots = data.getAll("plots");
  if (plots.length === 0) return refuse(t("host.js.need_plot"));
  const listing = {
    tier: data.get("tier"),
    variety: data.get("variety"),
    nominal_mass_g: Math.round(number(data, "mass_kg") * 1000),
    price_fen: Math.round(number(data, "price") * 100),
    pieces,
    plots,
  };
  if (await send(`${base}/listings`, listing, wrong)) form.closest("details")?.removeAttribute("open");
});

// --- the start ------------------------------------------------------------------------------------

if (page.ref) {
  live(
    `/api/v1/host/stream?broadcast=${encodeURIComponent(page.ref)}`,
    {
      state: (state) => {
        skew = Date.parse(state.as_of) - Date.now();
        asOf = state.as_of;
        void refresh();
      },
    },
    (state) => {
      stale.hidden = state !== "waiting";
      stale.textContent = t("host.js.stale", { time: formatClock(asOf) });
    },
  );
}
tick();
setInterval(tick, 1000);
document.documentElement.dataset.ready = "yes";
