// What a person decided and the line program has not taken yet. It survives a reload, a restart of the program and
// of the browser; each judgement is on its way at most once at a time, and one that arrived is not sent again. The
// second person's code is never stored: after a reload it is asked for again.

import { Problem, request } from "/web/shared/kit.js";
import { isRefused } from "./desk.js";

/** @typedef {import("./types.js").Judgement} Judgement */
/** @typedef {{tier: string | null, reason: string | null, isOther: boolean}} Draft */

const KEPT = "guoyuan.line.judgements";
const AGAIN_MS = 1500;

/** @type {Map<string, Draft>} */
const drafts = new Map();
/** @type {Map<string, Judgement>} */
const unsent = new Map();
/** Taken by the program, perhaps not gone from the queue we were last shown. @type {Set<string>} */
const taken = new Set();
/** Whose answer never came: it may have been taken. @type {Set<string>} */
const unanswered = new Set();
let isSending = false;
let tried_at = Number.NEGATIVE_INFINITY;

/** @param {string} batch @param {number} number */
export const keyOf = (batch, number) => `${number} ${batch}`;

/** What stays the same for as long as a lot is on the line; its `ref` does not. @param {import("./types.js").Batch} batch */
export const runOf = (batch) => batch.opened_at;

load();

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    for (const [key, draft] of Object.entries(kept.drafts ?? {})) drafts.set(key, draft);
    for (const [key, each] of Object.entries(kept.unsent ?? {})) {
      if (each.needs_second) drafts.set(key, { tier: each.tier, reason: each.reason, isOther: true });
      else
        unsent.set(key, {
          batch: each.batch,
          number: each.number,
          tier: each.tier,
          reason: each.reason,
          second_code: null,
        });
      unanswered.add(key);
    }
  } catch {
    localStorage.removeItem(KEPT);
  }
}

function keep() {
  const rows = [...unsent].map(([key, { second_code, ...rest }]) => [
    key,
    { ...rest, needs_second: second_code !== null },
  ]);
  localStorage.setItem(KEPT, JSON.stringify({ drafts: Object.fromEntries(drafts), unsent: Object.fromEntries(rows) }));
}

/** @param {string} key @returns {Draft} */
export const draftOf = (key) => drafts.get(key) ?? { tier: null, reason: null, isOther: false };

/** @param {string} key @param {Draft | null} draft */
export function keepDraft(key, draft) {
  if (draft) drafts.set(key, draft);
  else drafts.delete(key);
  keep();
}

/** @param {string} key whether a person need not be asked about the fruit any more */
export const isDecided = (key) => unsent.has(key) || taken.has(key);

export const countUnsent = () => unsent.size;

/** @param {Judgement} judgement */
export function decide(judgement) {
  const key = keyOf(judgement.batch, judgement.number);
  if (isDecided(key)) return;
  unsent.set(key, judgement);
  drafts.delete(key);
  keep();
  tried_at = Number.NEGATIVE_INFINITY;
}

/**
 * Forgets what cannot matter any more: drafts and decisions of fruit that the line no longer asks about.
 * @param {import("./types.js").State} state
 * @param {(judgement: Judgement, isTaken: boolean) => void} told of what left without an answer
 */
export function settle(state, told) {
  if (!state.batch) return;
  const run = runOf(state.batch);
  const asked = new Set(state.queue.map((fruit) => keyOf(run, fruit.number)));
  const before = drafts.size + unsent.size;
  for (const key of drafts.keys()) if (!asked.has(key)) drafts.delete(key);
  for (const key of taken) if (!asked.has(key)) taken.delete(key);
  for (const [key, judgement] of unsent) {
    if (isSending || asked.has(key)) continue;
    unsent.delete(key);
    told(judgement, judgement.batch === run && unanswered.delete(key));
  }
  if (drafts.size + unsent.size !== before) keep();
}

/**
 * Sends what waits, one after the other. Without an answer it stays and goes again later; a refusal gives the
 * decision back as a draft.
 * @param {(judgement: Judgement) => void} onTaken
 * @param {(judgement: Judgement, error: Problem) => void} onRefused
 */
export async function sendUnsent(onTaken, onRefused) {
  if (isSending || !unsent.size || performance.now() - tried_at < AGAIN_MS) return;
  isSending = true;
  tried_at = performance.now();
  try {
    for (const [key, judgement] of [...unsent]) {
      const { number, tier, reason, second_code } = judgement;
      try {
        const seen = new URLSearchParams({ opened_at: judgement.batch, was: "doubtful" });
        await request("POST", `/fruit/${number}/judge?${seen}`, { tier, reason, second_code }, { timeout_ms: 6000 });
        unsent.delete(key);
        taken.add(key);
        onTaken(judgement);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (!isRefused(error)) {
          unanswered.add(key);
          break;
        }
        unsent.delete(key);
        drafts.set(key, { tier, reason, isOther: true });
        onRefused(judgement, error);
      } finally {
        keep();
      }
    }
  } finally {
    isSending = false;
  }
}
