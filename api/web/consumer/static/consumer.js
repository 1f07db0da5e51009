// What the visitor's own phone does: fetch the proof, recompute it, ask the chain, and hold the page to it.
// Every number, curve and photograph shown is looked for again in the verified bytes. Works on plain http.

import { claimsOf, isRecalled } from "/web/consumer/claims.js";
import { paths, readingsOf } from "/web/consumer/curves.js";
import { sealedValue, sourcesOf, Unavailable, written } from "/web/consumer/facts.js";
import { formatClock, formatNumber, need, Problem, pageData, request, t } from "/web/shared/kit.js";
import { toBase64Url, toHex, utf8 } from "/web/shared/verify/bytes.js";
import { chainQuestions } from "/web/shared/verify/chain.js";
import { VerificationError } from "/web/shared/verify/errors.js";
import { sha256 } from "/web/shared/verify/merkle.js";
import { parseProof, verify } from "/web/shared/verify/proof.js";

/**
 * @typedef {{ subject: string, path: string, proof: string, records: string | null, leaves: string, size: number, steps: number }} Page
 * @typedef {{ origin: string, log_key: string, witnesses: string[],
 *   chain: { chain_id: number, address: string, log_id: string, rpc_url: string } | null }} WellKnown
 * @typedef {import("/web/shared/verify/proof.js").Verified} Verified
 * @typedef {import("/web/shared/verify/proof.js").Proof} Proof
 * @typedef {"ok" | "signed" | "pending" | "bad"} StepState
 * @typedef {{ page: Page, bytes: Uint8Array, proof: Proof, verified: Verified, sources: Map<string, any>,
 *   witnesses: string[], chain: "confirmed" | "away" | "none", node: string, facts: number, files: number, at: Date,
 *   states: Map<Element, StepState> }} Outcome
 */

const HEX = /^[0-9a-f]{64}$/;
const page = /** @type {Page} */ (pageData("page"));
const line = need("#proof-line");

/** Reasons why the page must not be believed, in words. */
const reasons = /** @type {string[]} */ ([]);

/** @returns {Promise<Outcome | null>} */
async function check() {
  say("working", t("consumer.js.checking", { n: page.steps }));
  const known = await fetchKnown();
  let bytes;
  try {
    bytes = await fetchBytes(page.proof);
  } catch (error) {
    const why = error instanceof Problem ? error : new Problem(0, {});
    if (why.code === "not_published") say("pending", t("consumer.js.not_published"));
    else say("none", t("consumer.js.unavailable", { why: why.message }));
    return null;
  }
  try {
    const proof = parseProof(bytes);
    const { results, node } = await askChain(proof, known);
    const verified = verify(bytes, {
      logKey: known?.log_key,
      contract: known?.chain ? { chainId: known.chain.chain_id, address: known.chain.address } : undefined,
      chainResults: results,
    });
    const isConfirmed = verified.shown.includes("anchored_on_the_chain");
    const chain = isConfirmed ? "confirmed" : verified.anchor === null ? "none" : "away";
    const sources = new Map(verified.entries.map(({ index, event }) => [String(index), event]));
    for (const [index, fields] of privateFields(proof, verified)) sources.set(`~${index}`, fields);
    return {
      page,
      bytes,
      proof,
      verified,
      sources,
      witnesses: known?.witnesses ?? [],
      chain,
      node,
      facts: 0,
      files: 0,
      at: new Date(),
      states: new Map(),
    };
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    reasons.push(
      /the chain does not hold/.test(error.message)
        ? t("consumer.js.why.chain")
        : t("consumer.js.why.proof", { why: error.message }),
    );
    return null;
  }
}

/**
 * The private fields that a verified proof opens, by the entry that commits to them.
 * @param {Proof} proof
 * @param {Verified} verified
 */
function privateFields(proof, verified) {
  /** @type {Map<number, Record<string, any>>} */
  const found = new Map();
  proof.disclosures.forEach((disclosure, place) => {
    const digest = toBase64Url(sha256(utf8(disclosure)));
    const entry = verified.entries.find(({ event }) => event["gy:digests"]?.includes(digest));
    if (!entry) return;
    const { name, value } = verified.opened[place];
    found.set(entry.index, { ...found.get(entry.index), [name]: value });
  });
  return found;
}

/** Holds the page to what was verified. @param {Outcome} outcome */
async function compare(outcome) {
  const { verified, sources } = outcome;
  if (verified.subject !== page.subject) reasons.push(t("consumer.js.why.subject"));
  const shown = new Set(numbers(page.leaves));
  for (const leaf of shown) {
    if (leaf < verified.size && !sources.has(String(leaf))) reasons.push(t("consumer.js.why.missing", { n: leaf }));
  }
  for (const { index } of verified.entries) {
    // What was recorded after this page was made is news, not a lie.
    if (!shown.has(index) && index < page.size) reasons.push(t("consumer.js.why.left_out", { n: index }));
  }
  compareClaims(outcome);
  await fetchFiles(outcome);
  for (const node of document.querySelectorAll("[data-fact]")) compareFact(/** @type {HTMLElement} */ (node), outcome);
  for (const node of document.querySelectorAll("svg[data-curve]")) compareCurve(node, outcome);
  await Promise.all([...document.querySelectorAll("[data-photo]")].map((node) => comparePhoto(node, outcome)));
  for (const step of document.querySelectorAll("[data-leaves]")) {
    outcome.states.set(step, stateOf(/** @type {HTMLElement} */ (step), outcome));
  }
}

/** The head of the page must speak of this very thing. @param {Outcome} outcome */
function compareClaims({ verified }) {
  const claims = claimsOf(page.subject, verified.entries);
  for (const node of document.querySelectorAll("[data-claim]")) {
    const wanted = claims.get(node.getAttribute("data-claim") ?? "");
    const fact = node.matches("[data-fact]") ? node : node.querySelector("[data-fact]");
    if (wanted === undefined || fact === null || fact.getAttribute("data-fact") === wanted) continue;
    fact.classList.add("wrong");
    reasons.push(t("consumer.js.why.other", { shown: fact.textContent ?? "" }));
  }
  if (isRecalled(page.subject, verified.entries) && !document.querySelector("[data-recalled]")) {
    reasons.push(t("consumer.js.why.recalled"));
  }
}

/** Fetches the files that facts and curves on the page stand in; each must have the hash it is named by.
 * @param {Outcome} outcome */
async function fetchFiles(outcome) {
  const wanted = new Set();
  for (const node of document.querySelectorAll("[data-fact]")) {
    for (const source of sourcesOf(node.getAttribute("data-fact") ?? "")) if (HEX.test(source)) wanted.add(source);
  }
  for (const node of document.querySelectorAll("svg[data-curve]")) wanted.add(curveOf(node).file);
  wanted.delete(null);
  const named = namesIn(outcome);
  const kept = await fetchRecords(wanted.size > 0);
  await Promise.all(
    [...wanted].map(async (digest) => {
      try {
        if (!named.has(digest)) throw new VerificationError("named by no entry");
        const bytes = kept.get(digest) ?? (await fetchBytes(fileUrl(digest)));
        if (toHex(sha256(bytes)) !== digest) throw new VerificationError("other bytes");
        outcome.sources.set(digest, JSON.parse(new TextDecoder().decode(bytes)));
        outcome.files += 1;
      } catch (error) {
        if (error instanceof VerificationError) reasons.push(t("consumer.js.why.file"));
      }
    }),
  );
}

/** The records of all fruits in one answer, by the hash of each line. @param {boolean} isWanted */
async function fetchRecords(isWanted) {
  /** @type {Map<string, Uint8Array>} */
  const found = new Map();
  if (!isWanted || page.records === null) return found;
  const text = new TextDecoder().decode(await fetchBytes(page.records).catch(() => new Uint8Array()));
  for (const line of text.split("\n")) {
    const bytes = new TextEncoder().encode(line);
    found.set(toHex(sha256(bytes)), bytes);
  }
  return found;
}

/** @param {HTMLElement} node @param {Outcome} outcome */
function compareFact(node, outcome) {
  const { fact = "", as = "text", op = "" } = node.dataset;
  const step = node.closest("[data-leaves]");
  const events = step ? leavesOf(step).flatMap((leaf) => outcome.sources.get(String(leaf)) ?? []) : [];
  let sealed;
  try {
    sealed = written(as, sealedValue(fact, op, outcome.sources, events));
  } catch (error) {
    if (error instanceof Unavailable) return; // newer than the checkpoint, or a file that could not be fetched
    throw error;
  }
  if (node.textContent === sealed) {
    outcome.facts += 1;
    return;
  }
  node.classList.add("wrong");
  reasons.push(t("consumer.js.why.shown", { shown: node.textContent ?? "", sealed }));
}

/** @param {Element} node @param {Outcome} outcome */
function compareCurve(node, outcome) {
  const drawn = curveOf(node);
  const readings = readingsOf(drawn, (source) => outcome.sources.get(source));
  if (readings === null) return;
  const sealed = paths(drawn, readings);
  const [line, over] = [node.querySelector("path.line"), node.querySelector("path.over")];
  if (line?.getAttribute("d") === sealed.line && (over?.getAttribute("d") ?? "") === sealed.over) return;
  line?.setAttribute("d", sealed.line);
  over?.setAttribute("d", sealed.over);
  node.classList.add("wrong");
  reasons.push(t("consumer.js.why.curve"));
}

/** @param {Element} node @param {Outcome} outcome */
async function comparePhoto(node, outcome) {
  const digest = node.getAttribute("data-photo") ?? "";
  const href = node.getAttribute("href") ?? node.getAttribute("src") ?? "";
  if (outcome.verified.size <= 0) return;
  let bytes;
  try {
    bytes = await fetchBytes(href);
  } catch {
    return; // not there: the page shows nothing either
  }
  if (namesIn(outcome).has(digest) && toHex(sha256(bytes)) === digest) outcome.files += 1;
  else reasons.push(t("consumer.js.why.photo"));
}

/** @param {HTMLElement} step @param {Outcome} outcome @returns {StepState} */
function stateOf(step, { verified, sources, chain }) {
  const leaves = leavesOf(step);
  if (step.querySelector(".wrong")) return "bad";
  if (leaves.some((leaf) => leaf < verified.size && !sources.has(String(leaf)))) return "bad";
  if (leaves.length === 0 || step.dataset.state === "pending") return "pending";
  if (leaves.some((leaf) => leaf >= verified.size)) return "pending";
  const anchored = verified.anchor?.size ?? 0;
  return chain === "confirmed" && leaves.every((leaf) => leaf < anchored) ? "ok" : "signed";
}

/** Says on the page what came out. @param {Outcome | null} outcome */
function report(outcome) {
  if (outcome) {
    for (const [step, state] of outcome.states) {
      const summary = step.querySelector(".proof");
      const leaves = leavesOf(step);
      if (state === "bad") step.setAttribute("data-state", "bad");
      summary?.setAttribute("data-state", { ok: "ok", signed: "ok", pending: "pending", bad: "bad" }[state]);
      const words = summary?.querySelector("u");
      if (words) words.textContent = sealedWords(state, leaves, outcome);
    }
  }
  if (reasons.length > 0) {
    contradict();
    return;
  }
  if (!outcome) return;
  const states = [...outcome.states.values()];
  const [checked, anchored] = [states.filter((s) => s !== "pending").length, states.filter((s) => s === "ok").length];
  const m = states.length;
  const block = outcome.verified.anchor?.block ?? 0;
  if (anchored === m) say("ok", t("consumer.js.all_checked", { n: m, m, block: formatNumber(block) }));
  else if (outcome.chain === "away") say("claimed", t("consumer.js.checked_no_chain", { n: checked, m }));
  else if (anchored > 0) say("pending", t("consumer.js.checked_pending", { n: anchored, m }));
  else say("pending", t("consumer.js.checked_signed", { n: checked }));
  document.querySelector(".track")?.toggleAttribute("hidden", anchored === m);
}

/** @param {StepState} state @param {number[]} leaves @param {Outcome} outcome */
function sealedWords(state, leaves, outcome) {
  if (state === "bad") return t("consumer.js.step_bad");
  if (state === "pending") return t("consumer.js.step_pending");
  if (state === "signed" && outcome.chain !== "away") return t("consumer.js.step_signed");
  if (leaves.length === 1) return t("consumer.js.step_ok", { n: formatNumber(leaves[0]) });
  return t("consumer.js.step_ok_many", { n: leaves.length });
}

/** Makes it unmistakable that the page contradicts its proof. */
function contradict() {
  say("bad", t("consumer.js.bad"));
  const banner = need("#contradicted");
  const heading = document.createElement("h2");
  heading.textContent = t("consumer.js.bad_title");
  const list = document.createElement("ul");
  for (const reason of [...new Set(reasons)].slice(0, 6)) {
    list.append(Object.assign(document.createElement("li"), { textContent: reason }));
  }
  const todo = Object.assign(document.createElement("p"), { textContent: t("consumer.js.bad_do") });
  banner.replaceChildren(heading, list, todo);
  banner.hidden = false;
  document.documentElement.dataset.verdict = "bad";
  banner.scrollIntoView({ block: "start" });
}

/** @param {"ok" | "pending" | "none" | "claimed" | "bad" | "working"} state @param {string} words */
function say(state, words) {
  line.dataset.state = state;
  need("span", line).textContent = words;
}

// --- asking ---------------------------------------------------------------------------------------

/** @returns {Promise<WellKnown | null>} */
async function fetchKnown() {
  try {
    const known = /** @type {WellKnown} */ (await request("GET", "/.well-known/guoyuan.json"));
    const name = `guoyuan.log.${known.origin}`;
    const seen = remember(name);
    // The first key this phone ever saw stays the one it expects: a second log would need a second key.
    if (seen && seen !== known.log_key) reasons.push(t("consumer.js.why.key"));
    remember(name, seen || known.log_key);
    return known;
  } catch {
    return null;
  }
}

/**
 * @param {Proof} proof
 * @param {WellKnown | null} known
 * @returns {Promise<{ results: unknown[] | undefined, node: string }>}
 */
async function askChain(proof, known) {
  if (proof.anchor === null || !known?.chain) return { results: undefined, node: "" };
  const url = new URL(known.chain.rpc_url, location.href);
  // Our own door is asked where this page came from, by whatever name the phone reached us.
  const node = url.pathname === "/rpc" ? new URL("/rpc", location.href).href : url.href;
  try {
    const questions = chainQuestions(proof.anchor);
    const answers = await request("POST", node, questions);
    const results = questions.map(({ id }) => answers.find((/** @type {any} */ a) => a.id === id)?.result);
    return { results, node };
  } catch {
    return { results: undefined, node };
  }
}

/** @param {string} url @returns {Promise<Uint8Array>} */
async function fetchBytes(url) {
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(20000) });
  } catch {
    throw new Problem(0, {});
  }
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  return new Uint8Array(await response.arrayBuffer());
}

/** @param {string} digest */
const fileUrl = (digest) => `/files/${digest}?of=${encodeURIComponent(page.path).replaceAll("%2F", "/")}`;

/** Everything verified bytes name by hash, as hex. @param {Outcome} outcome */
function namesIn({ proof, sources }) {
  const texts = [...proof.entries.map(({ data }) => data)];
  for (const [source, value] of sources) if (HEX.test(source)) texts.push(JSON.stringify(value));
  const names = new Set();
  for (const text of texts) {
    for (const [, name] of text.matchAll(/"ni:\/\/\/sha-256;([A-Za-z0-9_-]{43})"/g)) {
      const binary = atob(`${name.replaceAll("-", "+").replaceAll("_", "/")}=`);
      names.add([...binary].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(""));
    }
  }
  return names;
}

/** @param {Element} node @returns {import("/web/consumer/curves.js").Drawn} */
const curveOf = (node) => JSON.parse(node.getAttribute("data-curve") ?? "null");

/** @param {Element} step */
const leavesOf = (step) => numbers(step.getAttribute("data-leaves") ?? "");

/** `3,5-9` as numbers. @param {string} text */
function numbers(text) {
  return text
    .split(",")
    .filter(Boolean)
    .flatMap((part) => {
      const [first, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** @param {string} name @param {string} [value] @returns {string} */
function remember(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

// --- without a network ----------------------------------------------------------------------------

/** @param {boolean} isReached */
function sayOffline(isReached) {
  const strip = need("#offline");
  const name = `guoyuan.seen.${page.path}`;
  if (isReached) {
    remember(name, new Date().toISOString());
    strip.hidden = true;
    return;
  }
  const kept = remember(name);
  need("span", strip).textContent = kept
    ? t("consumer.js.offline", { at: `${kept.slice(0, 10)} ${formatClock(kept)}` })
    : t("consumer.js.offline_plain");
  strip.hidden = false;
}

async function main() {
  const outcome = await check();
  if (outcome) await compare(outcome);
  report(outcome);
  for (const opener of document.querySelectorAll("summary.proof, #proof-line")) {
    opener.addEventListener("click", async (event) => {
      if (!outcome) return; // without a proof the plain list under the line is all there is
      event.preventDefault();
      const { openDrawer } = await import("/web/consumer/drawer.js");
      openDrawer(outcome, opener.closest("[data-leaves]"));
    });
  }
  document.documentElement.dataset.checked = reasons.length > 0 ? "bad" : (line.dataset.state ?? "");
  const isReached = await fetch("/healthz", { cache: "no-store" }).then(
    (response) => response.ok,
    () => false,
  );
  sayOffline(isReached);
}

await main();
if (window.isSecureContext && "serviceWorker" in navigator) {
  navigator.serviceWorker.register("/web/consumer/sw.js", { scope: "/01/" }).catch(() => undefined);
}
