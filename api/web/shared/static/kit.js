// Small helpers of the four sites: messages, numbers and times as the reader writes them, requests that
// fail in words, live streams that come back by themselves. No framework, nothing from elsewhere.

/** @typedef {Record<string, string | number>} Params */
/** @typedef {"connecting" | "open" | "waiting"} LiveState */

/**
 * Returns what the page carries under a name (`json_block` in a template).
 * @param {string} name
 * @returns {any}
 */
export function pageData(name) {
  const block = document.getElementById(name);
  return block ? JSON.parse(block.textContent ?? "null") : null;
}

/** The language of the page: `zh` or `en`. */
export const lang = document.documentElement.lang.startsWith("zh") ? "zh" : "en";

/** @type {Record<string, string>} */
const messages = pageData("messages") ?? {};
const numbers = new Intl.NumberFormat(lang === "zh" ? "zh-CN" : "en-GB", { maximumFractionDigits: 3 });

/**
 * Returns a message as plain text, its `{names}` filled in; the key itself where the page lacks it.
 * @param {string} key
 * @param {Params} [params]
 */
export function t(key, params = {}) {
  const text = (params.n === 1 ? messages[`${key}.one`] : undefined) ?? messages[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(params[name] ?? whole));
}

/** @param {number} value */
export const formatNumber = (value) => numbers.format(value);

/**
 * `2.31 kg` for 2310 g.
 * @param {number} mass_g
 */
export const formatKg = (mass_g) => `${numbers.format(mass_g / 1000)}\u00a0kg`;

/**
 * `¥49.90` for 4990 fen.
 * @param {number} price_fen
 */
export const formatYuan = (price_fen) => `¥${(price_fen / 100).toFixed(2)}`;

/**
 * `1 小时 24 分` or `1 h 24 min`, cut to whole minutes.
 * @param {number} seconds
 */
export function formatSpan(seconds) {
  const minutes = Math.floor(Math.abs(seconds) / 60);
  const [h, m, d] = lang === "zh" ? ["小时", "分", "天"] : ["h", "min", "d"];
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.floor(hours / 24)}\u00a0${d}`;
  const parts = [hours && `${hours}\u00a0${h}`, minutes % 60 && `${minutes % 60}\u00a0${m}`].filter(Boolean);
  return parts.join("\u00a0") || `0\u00a0${m}`;
}

/**
 * `06:42` in a zone.
 * @param {string | Date} moment RFC 3339 text or a Date
 * @param {string} [zone] IANA name; the page's own (`<html data-zone>`) where absent
 */
export function formatClock(moment, zone = document.documentElement.dataset.zone) {
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone }).format(
    new Date(moment),
  );
}

/**
 * `刚刚`, `5 分前`, `2 小时后`.
 * @param {string | Date} moment
 * @param {Date} [now]
 */
export function relativeTime(moment, now = new Date()) {
  const seconds = (new Date(moment).getTime() - now.getTime()) / 1000;
  if (Math.abs(seconds) < 60) return t("shared.js.just_now");
  return t(seconds < 0 ? "shared.js.ago" : "shared.js.in", { span: formatSpan(seconds) });
}

/** Something the server refused, in its own words (RFC 9457), or that it did not answer. */
export class Problem extends Error {
  /**
   * @param {number} status 0 where no answer came
   * @param {{title?: string, detail?: string, code?: string, [fact: string]: unknown}} body
   */
  constructor(status, body) {
    super(body.detail ?? body.title ?? t("shared.js.no_answer"));
    this.status = status;
    this.code = body.code ?? (status === 0 ? "no_answer" : "refused");
    this.facts = body;
  }
}

/**
 * Asks the server and returns its JSON (null for an empty answer). Throws Problem.
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body] sent as JSON; a Blob or ArrayBuffer as it is
 * @param {{headers?: Record<string, string>, timeout_ms?: number}} [options]
 * @returns {Promise<any>}
 */
export async function request(method, url, body, { headers = {}, timeout_ms = 20000 } = {}) {
  const isRaw = body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
  /** @type {RequestInit} */
  const init = { method, headers: { accept: "application/json", ...headers }, signal: AbortSignal.timeout(timeout_ms) };
  if (body !== undefined) {
    init.body = isRaw ? /** @type {BodyInit} */ (body) : JSON.stringify(body);
    if (!isRaw) init.headers = { "content-type": "application/json", ...init.headers };
  }
  let response;
  try {
    response = await fetch(url, init);
  } catch {
    throw new Problem(0, {});
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null;
  }
  if (!response.ok)
    throw new Problem(response.status, answer ?? { title: `${response.status} ${response.statusText}` });
  return answer;
}

/**
 * @param {string} url
 * @returns {Promise<any>}
 */
export const getJson = (url) => request("GET", url);

/**
 * @param {string} url
 * @param {unknown} body
 * @returns {Promise<any>}
 */
export const postJson = (url, body) => request("POST", url, body);

/**
 * Follows a server-sent event stream for as long as the page lives. Reconnects by itself, slower each
 * time up to half a minute, at once when the network or the tab comes back. `Last-Event-ID` is kept by
 * passing the last id as `?after=`.
 * @param {string} url
 * @param {Record<string, (data: any) => void>} handlers one per event name
 * @param {(state: LiveState) => void} [onState]
 * @returns {() => void} stops it
 */
export function live(url, handlers, onState = () => {}) {
  /** @type {EventSource | null} */
  let source = null;
  let last = "";
  let failures = 0;
  let timer = 0;
  let isStopped = false;

  const open = () => {
    clearTimeout(timer);
    source?.close();
    if (isStopped) return;
    onState("connecting");
    const address = new URL(url, location.href);
    if (last) address.searchParams.set("after", last);
    source = new EventSource(address);
    source.onopen = () => {
      failures = 0;
      onState("open");
    };
    source.onerror = () => {
      source?.close();
      onState("waiting");
      timer = window.setTimeout(open, Math.min(30000, 500 * 2 ** failures++) * (0.75 + Math.random() / 2));
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        handle(JSON.parse(event.data));
      });
    }
  };
  const again = () => {
    if (source?.readyState !== EventSource.OPEN && document.visibilityState === "visible") {
      failures = 0;
      open();
    }
  };
  window.addEventListener("online", again);
  document.addEventListener("visibilitychange", again);
  open();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    source?.close();
    window.removeEventListener("online", again);
    document.removeEventListener("visibilitychange", again);
  };
}

/**
 * Returns an element with attributes and children. Text is always text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | EventListener | undefined>} [attributes] `on…` adds a listener
 * @param {...(Node | string | number | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      node.append(child instanceof Node ? child : String(child));
    }
  }
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns an SVG element.
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...Node} children
 */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/**
 * Returns an icon of the sprite.
 * @param {string} name
 * @param {16 | 20 | 24 | 32} [size]
 */
export function icon(name, size = 24) {
  const attributes = { class: size === 24 ? "ico" : `ico ico-${size}`, viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", attributes, svg("use", { href: `/web/shared/icons.svg#${name}` }));
}

/**
 * Returns a tier mark: A filled, B half, C ring, with its letter.
 * @param {string} tier
 * @param {"" | "lg" | "xl" | "xxl"} [size]
 */
export function tierMark(tier, size = "") {
  const letter = tier.length === 1 ? tier : tier === "cull" ? "×" : "?";
  const name = `tier tier-${tier.toLowerCase()}${size ? ` tier-${size}` : ""}`;
  return el("span", { class: name, role: "img", "aria-label": t(`shared.js.tier.${tier}`) }, letter);
}

/**
 * Puts children into an element in place of what it held.
 * @param {Element} node
 * @param {...(Node | string)} children
 */
export function fill(node, ...children) {
  node.replaceChildren(...children);
  return node;
}

/**
 * Returns the element a page must have. Throws where the template forgot it.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {HTMLElement}
 */
export function need(selector, root = document) {
  const node = root.querySelector(selector);
  if (!(node instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return node;
}
