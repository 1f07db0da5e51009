// @ts-check
/** The farmer's page: today's pick orders, kept live; three taps to confirm a crate; everything kept until it is sent. */

import { patch } from "/web/shared/dom.js";
import { live, Problem, pageData, request, t } from "/web/shared/kit.js";
import { Camera, codeReader, hasCamera, photograph } from "./camera.js";
import { readCrate } from "./crate.js";
import { heldBy, withUnsent } from "./orders.js";
import { Outbox } from "./outbox.js";
import { PhoneStore } from "./store.js";
import {
  crateScreen,
  doneScreen,
  goneScreen,
  orderScreen,
  photoScreen,
  todayScreen,
  trayScreen,
  weightScreen,
} from "./views.js";
import { grams, inUnit, press, problem } from "./weight.js";
import { kg, varietyName } from "./words.js";

/**
 * @typedef {import("./orders.js").FarmState} FarmState
 * @typedef {import("./outbox.js").Entry} Entry
 * @typedef {import("./outbox.js").Answer} Answer
 * @typedef {import("./views.js").Draft} Draft
 * @typedef {import("./views.js").Done} Done
 */

const RENDER_EVERY_MS = 5_000;
const FLUSH_EVERY_MS = 5_000;
const SEND_TIMEOUT_MS = 20_000;
const PHOTO_TIMEOUT_MS = 120_000;
const POSITION_TIMEOUT_MS = 6_000;
const FORGET_START_MS = 12 * 3_600_000;

const root = /** @type {HTMLElement} */ (document.getElementById("main"));
const announcer = /** @type {HTMLElement} */ (document.getElementById("announce"));
const page = /** @type {{party: string, state: FarmState}} */ (pageData("farm"));
const store = await PhoneStore.open();
const camera = new Camera();
const reader = await codeReader();

const outbox = new Outbox({
  store,
  send,
  owner: page.party,
  alone: async (work) => {
    if (navigator.locks) await navigator.locks.request("guoyuan-outbox", work);
    else await work();
  },
});

/** What the server last said about this person, the newest of the page and what the phone kept. @type {FarmState} */
let farm = page.state;
/** How far this phone's clock is behind the server's, in milliseconds. @type {number} */
let skew = 0;
/** When picking began, by pick order. @type {Record<string, string>} */
let started = {};
/** @type {Draft | null} */
let draft = null;
/** @type {Done | null} */
let done = null;
/** @type {import("./outbox.js").Summary} */
let summary = { state: "idle", unsent: 0, parked: 0, others: 0, retry_at: null, entries: [] };
/** @type {"live" | "connecting" | "offline"} */
let net = navigator.onLine ? "connecting" : "offline";
/** @type {any} */
let installPrompt = null;
/** Entries acknowledged since the last state, still drawn until the state holds them. @type {Entry[]} */
let acknowledged = [];
let isSignedOut = false;
const reported = new Set();
let screenShown = "";

const now = () => Date.now() + skew;
const nowText = () => new Date(now()).toISOString();

// --- sending --------------------------------------------------------------------------------------

/**
 * @param {Entry} entry
 * @returns {Promise<Answer>}
 */
async function send(entry) {
  const answer = entry.kind === "pick" ? await sendPick(entry) : await sendPhoto(entry);
  if (answer && answer.status >= 200 && answer.status < 300 && answer.body?.command_id === entry.uuid) {
    if (entry.kind === "pick") acknowledged.push(entry);
    else await store.removePhoto(entry.payload.sha256);
  }
  return answer;
}

/** @param {Entry} entry */
function sendPick(entry) {
  const body = JSON.stringify({ command_id: entry.uuid, ...entry.payload });
  return ask(
    "/api/v1/farmer/picks",
    { method: "POST", body, headers: { "content-type": "application/json" } },
    SEND_TIMEOUT_MS,
  );
}

/** @param {Entry} entry */
async function sendPhoto(entry) {
  const blob = await store.photo(entry.payload.sha256);
  // The photograph is gone from this phone (site data cleared by hand): there is nothing left to send.
  if (!blob) return { status: 410, body: { code: "photo_gone" } };
  const { pick, sha256 } = entry.payload;
  const address = `/api/v1/farmer/picks/photographs?command_id=${entry.uuid}&pick=${pick}&sha256=${sha256}`;
  return ask(address, { method: "POST", body: blob, headers: { "content-type": "image/jpeg" } }, PHOTO_TIMEOUT_MS);
}

/**
 * Return what came back, or null where it was no answer of our server.
 * @param {string} address
 * @param {RequestInit} init
 * @param {number} timeout_ms
 * @returns {Promise<Answer>}
 */
async function ask(address, init, timeout_ms) {
  const response = await fetch(address, {
    ...init,
    headers: { accept: "application/json", ...init.headers },
    // A sign-in page of a hotel's network must not be followed and taken for an answer.
    redirect: "manual",
    signal: AbortSignal.timeout(timeout_ms),
  });
  if (response.type === "opaqueredirect") return null;
  const isJson = /^application\/(problem\+)?json/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, body: isJson ? await response.json() : null };
}

// --- what the server says -------------------------------------------------------------------------

/**
 * @param {FarmState} state
 * @param {boolean} isLive  whether it was said just now
 */
function learn(state, isLive) {
  if (isLive) skew = Date.parse(state.as_of) - Date.now();
  const known = new Set(farm.orders.map((o) => o.pick_order));
  const fresh = state.orders.filter((o) => !known.has(o.pick_order) && o.seen_at === null && o.state === "raised");
  farm = state;
  const held = new Set(state.orders.flatMap((o) => o.crates.map((c) => c.command_id)));
  acknowledged = acknowledged.filter((e) => !held.has(e.uuid));
  const open = new Set(state.orders.map((o) => o.pick_order));
  // A start that nobody went on with is forgotten: the next one is what counts.
  const stale = now() - FORGET_START_MS;
  started = Object.fromEntries(Object.entries(started).filter(([id, at]) => open.has(id) && Date.parse(at) > stale));
  if (isLive) {
    void store.remember("farm", { party: page.party, state });
    void store.remember("skew", skew);
    if (fresh.length) arrived(fresh);
  }
  render();
}

async function lookAgain() {
  try {
    learn(await request("GET", "/api/v1/farmer/orders"), true);
    isSignedOut = false;
  } catch (problem) {
    isSignedOut = problem instanceof Problem && problem.status === 401;
  }
  render();
}

/** @param {import("./orders.js").Order[]} orders */
function arrived(orders) {
  const [first] = orders;
  announcer.textContent = t("farmer.js.arrived", { variety: varietyName(first.variety), kg: kg(first.ordered_g) });
  navigator.vibrate?.([120, 80, 120]);
}

/** Tell the server which orders stood on this screen, while somebody could see them. */
async function reportSeen() {
  if (document.visibilityState !== "visible" || route().screen !== "today") return;
  const unseen = farm.orders.filter((o) => o.seen_at === null && !reported.has(o.pick_order)).map((o) => o.pick_order);
  if (unseen.length === 0) return;
  for (const id of unseen) reported.add(id);
  try {
    await request("POST", "/api/v1/farmer/orders/seen", { pick_orders: unseen });
  } catch {
    for (const id of unseen) reported.delete(id);
  }
}

// --- screens --------------------------------------------------------------------------------------

/** @returns {{screen: string, number: string}} */
function route() {
  const [, first = "", number = "", step = "order"] = location.hash.split("/");
  if (first === "unsent") return { screen: "unsent", number: "" };
  if (first === "order") return { screen: step, number: decodeURIComponent(number) };
  return { screen: "today", number: "" };
}

/** @param {string} number */
function orderOf(number) {
  return orders().find((o) => o.pick_order.endsWith(`/${number}`)) ?? null;
}

const orders = () => withUnsent(farm.orders, [...summary.entries, ...acknowledged]);

function model() {
  return {
    now: now(),
    zone: farm.zone,
    as_of: farm.as_of,
    minutes: farm.cool_within_minutes,
    orders: orders(),
    started,
    outbox: isSignedOut ? { ...summary, state: /** @type {const} */ ("sign_in") } : summary,
    net,
    can_install: installPrompt !== null,
  };
}

function render() {
  const { screen, number } = route();
  const order = number ? orderOf(number) : null;
  const key = `${screen} ${number} ${draft?.mode ?? ""}`;
  const isNew = key !== screenShown;
  if (isNew) leaveScreen();
  root.dataset.screen = screen;
  document.documentElement.toggleAttribute("data-fixed", ["crate", "weight", "photo"].includes(screen));
  const shown = model();
  if (screen === "unsent") patch(root, trayScreen(shown, page.party));
  else if (screen === "today") patch(root, todayScreen(shown));
  else if (!order) patch(root, goneScreen(shown));
  else if (screen === "crate")
    patch(root, crateScreen(shown, order, theDraft(order.pick_order), holderOf(theDraft(order.pick_order))));
  else if (screen === "weight" && draft?.crate) patch(root, weightScreen(shown, order, draft));
  else if (screen === "photo" && draft?.crate && problem(draft.weight) === null)
    patch(root, photoScreen(shown, order, draft));
  else if (screen === "done" && done) patch(root, doneScreen(shown, order, done));
  else patch(root, orderScreen(shown, order));
  if (isNew) enterScreen(key, screen);
}

function leaveScreen() {
  camera.stop();
  if (draft) draft.shutter = false;
}

/**
 * @param {string} key
 * @param {string} screen
 */
function enterScreen(key, screen) {
  if (screenShown) window.scrollTo(0, 0);
  screenShown = key;
  const video = root.querySelector("video");
  if (!video || !draft) return;
  if (screen === "crate") void startScan(video);
  if (screen === "photo") void startCamera(video);
}

/** @param {string} pick_order @returns {Draft} */
function theDraft(pick_order) {
  if (!started[pick_order]) begin(pick_order);
  if (draft?.pick_order !== pick_order) {
    draft = {
      pick_order,
      crate: "",
      code: "",
      typed: "",
      mode: reader ? "scan" : "type",
      reader: reader !== null,
      scan: "starting",
      torch: false,
      weight: { text: "", unit: draft?.weight.unit ?? "kg" },
      camera: hasCamera(),
      shutter: false,
      saving: "",
      position: draft?.position ?? false,
      corrects: "",
    };
  }
  return draft;
}

/** @param {Draft} of */
function holderOf(of) {
  if (!of.crate) return null;
  const others = summary.entries.filter((e) => e.uuid !== of.corrects);
  return heldBy(withUnsent(farm.orders, [...others, ...acknowledged]), of.code);
}

/** @param {string} pick_order */
function begin(pick_order) {
  started[pick_order] = nowText();
  void store.remember("started", started);
}

function keepDraft() {
  void store.remember("draft", draft ? { ...draft, saving: "" } : undefined);
}

/** @param {HTMLVideoElement} video */
async function startScan(video) {
  if (!draft || !reader) return;
  try {
    await camera.show(video);
  } catch {
    draft.mode = "type";
    draft.reader = false;
    render();
    return;
  }
  if (!draft.crate) draft.scan = "aim";
  draft.torch = camera.hasTorch;
  render();
  camera.scan(video, reader, (text) => {
    if (!draft) return;
    const found = readCrate(text);
    const scan = found ? "found" : "unknown";
    if (found?.code === draft.code && scan === draft.scan) return;
    if (found) navigator.vibrate?.(60);
    Object.assign(draft, found ?? { crate: "", code: "" }, { scan });
    keepDraft();
    render();
  });
}

/** @param {HTMLVideoElement} video */
async function startCamera(video) {
  let can = true;
  await camera.show(video).catch(() => {
    can = false;
  });
  if (draft) Object.assign(draft, { camera: can, shutter: can });
  render();
}

// --- what a touch does ----------------------------------------------------------------------------

/** @type {Record<string, (arg: string, target: HTMLElement) => void | Promise<void>>} */
const actions = {
  start: (_, target) => {
    begin(target.dataset.order ?? "");
    void navigator.storage?.persist?.();
    render();
  },
  "type-mode": () => setMode("type"),
  "scan-mode": () => setMode("scan"),
  torch: () => camera.toggleTorch(),
  press: (arg) => {
    if (!draft) return;
    if (route().screen === "crate") typeCrate(arg);
    else draft.weight = press(draft.weight, arg);
    keepDraft();
    render();
  },
  unit: (arg) => {
    if (!draft) return;
    draft.weight = inUnit(draft.weight, arg === "jin" ? "jin" : "kg");
    keepDraft();
    render();
  },
  "take-crate": () => go("weight"),
  "take-weight": () => go("photo"),
  position: (_, target) => {
    if (draft) draft.position = /** @type {HTMLInputElement} */ (target).checked;
    keepDraft();
    render();
  },
  shoot: async () => {
    const video = root.querySelector("video");
    if (video) await finish(video);
  },
  "photo-file": async (_, target) => {
    const file = /** @type {HTMLInputElement} */ (target).files?.[0];
    if (file) await finish(file);
  },
  "no-photo": () => finish(null),
  "retry-all": () => outbox.flush({ force: true }),
  again: (uuid) => outbox.retry(uuid),
  "put-away": (uuid) => outbox.putAway(uuid),
  correct: (uuid) => {
    const entry = summary.entries.find((e) => e.uuid === uuid);
    if (!entry) return;
    const [crate] = entry.payload.crates;
    draft = null;
    Object.assign(theDraft(entry.payload.pick_order), {
      weight: inUnit({ text: String(crate.mass_g / 1000), unit: "kg" }, "kg"),
      corrects: uuid,
    });
    keepDraft();
    location.hash = `#/order/${encodeURIComponent(entry.payload.pick_order.split("/").pop())}/crate`;
  },
  install: async () => {
    await installPrompt?.prompt();
    installPrompt = null;
    render();
  },
};

/** @param {"scan" | "type"} mode */
function setMode(mode) {
  if (!draft) return;
  Object.assign(draft, { mode, crate: "", code: "", typed: "", scan: "starting" });
  render();
}

/** @param {string} key */
function typeCrate(key) {
  if (!draft) return;
  const typed = key === "back" ? draft.typed.slice(0, -1) : (draft.typed + key).slice(0, 6);
  const found = typed.length >= 3 ? readCrate(typed) : null;
  Object.assign(draft, { typed, crate: found?.crate ?? "", code: found?.code ?? "" });
}

/** @param {string} step */
function go(step) {
  const { number } = route();
  location.hash = `#/order/${encodeURIComponent(number)}/${step}`;
}

/**
 * Keep the crate as it was confirmed. The photograph and the place are extras that never hold it up.
 * @param {HTMLVideoElement | Blob | null} picture
 */
async function finish(picture) {
  if (!draft || draft.saving) return;
  const { pick_order, crate, code, weight, corrects, position: wantsPosition } = draft;
  const ended_at = new Date(Math.max(now(), Date.parse(started[pick_order] ?? "") + 1 || 0)).toISOString();
  draft.saving = "saving";
  render();
  const shot = picture ? await photograph(picture).catch(() => null) : null;
  let place = null;
  if (wantsPosition) {
    draft.saving = "locating";
    render();
    place = await position();
  }
  const refused = summary.entries.find((e) => e.uuid === corrects);
  const payload = {
    pick_order,
    crates: [{ crate, mass_g: grams(weight) }],
    started_at: refused?.payload.started_at ?? started[pick_order] ?? ended_at,
    ended_at: refused?.payload.ended_at ?? ended_at,
    ...(place && { position: place }),
    ...(shot && { photo_sha256: shot.sha256 }),
  };
  if (shot) await store.putPhoto(shot.sha256, shot.blob);
  const uuid = crypto.randomUUID();
  await outbox.keep([
    { uuid, kind: "pick", payload, note: { code } },
    ...(shot
      ? [{ kind: /** @type {const} */ ("photo"), payload: { pick: uuid, sha256: shot.sha256 }, note: { code } }]
      : []),
  ]);
  if (refused) await outbox.putAway(refused.uuid);
  started[pick_order] = ended_at;
  await store.remember("started", started);
  const position_ = wantsPosition ? (place ? "kept" : "not_found") : "none";
  done = { pick_order, uuid, code, mass_g: grams(weight), photo: shot !== null, position: position_ };
  draft = { ...draft, pick_order: "", saving: "" };
  void store.remember("draft", undefined);
  navigator.vibrate?.(40);
  location.replace(`#/order/${encodeURIComponent(pick_order.split("/").pop() ?? "")}/done`);
}

/** @returns {Promise<{lat: number, lon: number} | null>} */
function position() {
  return new Promise((resolve) => {
    if (!navigator.geolocation) return resolve(null);
    const found = (/** @type {GeolocationPosition} */ { coords }) =>
      resolve({ lat: Number(coords.latitude.toFixed(6)), lon: Number(coords.longitude.toFixed(6)) });
    const options = { enableHighAccuracy: true, timeout: POSITION_TIMEOUT_MS, maximumAge: 60_000 };
    navigator.geolocation.getCurrentPosition(found, () => resolve(null), options);
  });
}

// --- the start ------------------------------------------------------------------------------------

const kept = await store.recall("farm");
const keptSkew = await store.recall("skew");
skew = keptSkew ?? Date.parse(page.state.as_of) - Date.now();
started = (await store.recall("started")) ?? {};
draft = (await store.recall("draft")) ?? null;
if (draft)
  Object.assign(draft, {
    reader: reader !== null,
    camera: hasCamera(),
    scan: "starting",
    torch: false,
    shutter: false,
  });
if (draft && !reader) draft.mode = "type";
const isKeptNewer = kept?.party === page.party && kept.state.as_of > page.state.as_of;
learn(isKeptNewer ? kept.state : page.state, false);

await outbox.watch((next) => {
  summary = next;
  render();
});

live("/api/v1/farmer/stream", { orders: (state) => learn(state, true) }, (state) => {
  net = state === "open" ? "live" : navigator.onLine ? "connecting" : "offline";
  if (net === "live") void outbox.flush({ force: true });
  // A stream does not say why it ended: ask once, to tell a lost session from a lost signal.
  if (state === "waiting" && navigator.onLine) void lookAgain();
  render();
});

document.addEventListener("click", (event) => {
  const target = /** @type {Element} */ (event.target).closest("[data-do]");
  if (!(target instanceof HTMLElement) || target instanceof HTMLInputElement || target.hasAttribute("disabled")) return;
  void actions[target.dataset.do ?? ""]?.(target.dataset.arg ?? "", target);
});
document.addEventListener("change", (event) => {
  const target = /** @type {Element} */ (event.target).closest("input[data-do]");
  if (target instanceof HTMLElement) void actions[target.dataset.do ?? ""]?.("", target);
});
document.addEventListener("keydown", (event) => {
  const { screen } = route();
  if (!["crate", "weight"].includes(screen) || event.ctrlKey || event.metaKey) return;
  if (/^[\d.]$/.test(event.key)) void actions.press(event.key, root);
  else if (event.key === "Backspace") void actions.press("back", root);
});
window.addEventListener("hashchange", () => {
  render();
  void reportSeen();
});
window.addEventListener("online", () => {
  net = "connecting";
  void outbox.flush({ force: true });
  render();
});
window.addEventListener("offline", () => {
  net = "offline";
  render();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  void outbox.flush({ force: true });
  render();
});
window.addEventListener("beforeinstallprompt", (event) => {
  event.preventDefault();
  installPrompt = event;
  render();
});
setInterval(() => void outbox.flush(), FLUSH_EVERY_MS);
setInterval(() => {
  render();
  void reportSeen();
}, RENDER_EVERY_MS);
void reportSeen();
void outbox.flush({ force: true });

if ("serviceWorker" in navigator) {
  const had = navigator.serviceWorker.controller !== null;
  void navigator.serviceWorker.register("/farmer/sw.js", { scope: "/farmer" });
  // A newer shell has taken over: load it, unless somebody is in the middle of a crate.
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (had && !["crate", "weight", "photo"].includes(route().screen)) location.reload();
  });
}
document.documentElement.dataset.ready = "yes";
