// The fruit the numbers cannot decide: seen from its sides, why, its measures, and the answers as large buttons.
// The fruit on the screen stays until it is decided; when the next one comes, the buttons wait half a second, so
// that a second tap of the same finger does not judge a fruit nobody looked at.

import { el, fill, formatNumber, need, request, t } from "/web/shared/kit.js";
import { chime } from "./alarms.js";
import { ask, askCode, button, mark, refusal, say, wordOr, words } from "./desk.js";
import { icon } from "./icons.js";
import { countUnsent, decide, draftOf, isDecided, keepDraft, keyOf, runOf, sendUnsent, settle } from "./unsent.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Batch} Batch */
/** @typedef {import("./types.js").Waiting} Waiting */

const GUARD_MS = 500;

/** @type {State} */
let state;
let draw = () => {};
/** @type {number | null} */
let chosen = null;
let side = 0;
let ready_at = 0;
/** @type {Set<string>} */
let seen = new Set();

/** @param {() => void} redraw */
export const onJudged = (redraw) => {
  draw = redraw;
};

/** @param {Batch} batch @param {string} tier */
const tierName = (batch, tier) => {
  const known = batch.tiers.find((each) => each.tier === tier);
  return known ? words(known.name) : wordOr(`line.js.tier.${tier}`, tier);
};

/** @param {Batch} batch @param {string} tier @param {string} than */
const isBetter = (batch, tier, than) => {
  const order = batch.tiers.map((each) => each.tier);
  const [a, b] = [order.indexOf(tier), order.indexOf(than)];
  return a >= 0 && (b >= 0 ? a < b : than === "cull");
};

/**
 * Takes what stands, and sends what waits if the line program is there.
 * @param {State} now
 * @param {boolean} isThere
 */
export function takeQueue(now, isThere) {
  state = now;
  if (!isThere) return;
  settle(now, (judgement, isTaken) =>
    say(t(isTaken ? "line.js.judge.had" : "line.js.judge.gone", { n: judgement.number }), isTaken ? "ok" : "wait"),
  );
  const keys = new Set(now.queue.map((fruit) => keyOf(now.batch ? runOf(now.batch) : "", fruit.number)));
  if ([...keys].some((key) => !seen.has(key))) chime();
  seen = keys;
  preload(now.queue);
  send();
}

/** The sides of all fruit that wait, so that they are seen even while the program is away. @type {Map<string, HTMLImageElement>} */
let sides = new Map();

/** @param {Waiting[]} queue */
function preload(queue) {
  const wanted = new Map();
  for (const crop of queue.flatMap((fruit) => fruit.crops)) {
    const image = sides.get(crop) ?? new Image();
    if (!image.src) image.src = crop;
    wanted.set(crop, image);
  }
  sides = wanted;
}

function send() {
  sendUnsent(
    (judgement) => {
      const name = state.batch ? tierName(state.batch, judgement.tier) : judgement.tier;
      say(t("line.js.judge.done", { n: judgement.number, tier: name }));
      draw();
    },
    (judgement, error) => {
      draw();
      const isCode = error.code === "second_person" || (judgement.second_code && error.code === "line_house_refused");
      if (isCode) askSecond(judgement.number, refusal(error));
      else say(refusal(error), "bad");
    },
  ).then(draw);
}

/** @param {Batch} batch */
const open = (batch) => state.queue.filter((fruit) => !isDecided(keyOf(runOf(batch), fruit.number)));

/** @param {number} number */
function choose(number) {
  chosen = number;
  side = 0;
  ready_at = performance.now() + GUARD_MS;
  draw();
}

/** What the panel would draw; equal values draw the same. @param {Batch} batch */
export function judgeStanding(batch) {
  const waiting = open(batch);
  if (!waiting.some((fruit) => fruit.number === chosen)) {
    chosen = waiting[0]?.number ?? null;
    side = 0;
    ready_at = performance.now() + GUARD_MS;
  }
  const fruit = waiting.find((each) => each.number === chosen);
  return [
    chosen,
    side,
    fruit,
    fruit && draftOf(keyOf(runOf(batch), fruit.number)),
    still(batch, waiting),
    waiting.slice(0, 4).map((each) => [each.number, each.crops[0]]),
    countUnsent(),
    runOf(batch),
    batch.tiers.map((each) => [each.tier, each.name]),
    state.reasons,
  ];
}

/** The panel, or null where no fruit waits for a person. @param {Batch} batch */
export function judgePanel(batch) {
  const waiting = open(batch);
  const fruit = waiting.find((each) => each.number === chosen);
  if (!fruit) return null;
  const draft = draftOf(keyOf(runOf(batch), fruit.number));
  return el(
    "div",
    { class: "judge", "data-fruit": fruit.number },
    head(batch, fruit, waiting),
    ...(draft.isOther ? override(batch, fruit) : question(batch, fruit)),
  );
}

/** A line about what was decided and could not be sent yet; null where nothing waits. */
export function unsentLine() {
  const n = countUnsent();
  return n ? el("p", { class: "unsent", role: "status" }, icon("unsent"), t("line.js.judge.unsent", { n })) : null;
}

/** How many wait in all: the line shows the first dozen. @param {Batch} batch @param {Waiting[]} waiting */
const still = (batch, waiting) => Math.max(waiting.length, batch.doubtful);

/** @param {Batch} batch @param {Waiting} fruit @param {Waiting[]} waiting */
function head(batch, fruit, waiting) {
  const others = waiting.filter((each) => each.number !== fruit.number).slice(0, 3);
  return el(
    "header",
    { class: "judge-head" },
    el(
      "h2",
      {},
      t("line.js.judge.title"),
      el(
        "small",
        { class: "num" },
        t(still(batch, waiting) > 1 ? "line.js.judge.waiting" : "line.js.judge.fruit", {
          n: fruit.number,
          all: still(batch, waiting),
        }),
      ),
    ),
    others.length
      ? el(
          "ul",
          { class: "queue", "aria-label": t("line.js.judge.next", { n: still(batch, waiting) - 1 }) },
          ...others.map((each) => {
            const go = el("button", {
              type: "button",
              class: "queue-one",
              "aria-label": t("line.js.judge.fruit", { n: each.number }),
              "data-focus": `queue-${each.number}`,
            });
            if (each.crops[0]) go.append(el("img", { src: each.crops[0], alt: "" }));
            go.addEventListener("click", () => choose(each.number));
            return el("li", {}, go);
          }),
        )
      : null,
  );
}

/** The side that was chosen, large; pressed, all sides open. @param {Waiting} fruit */
function photograph(fruit) {
  const at = Math.min(side, Math.max(0, fruit.crops.length - 1));
  const large = el("button", {
    type: "button",
    class: "suspect",
    "aria-label": t("line.js.judge.closer"),
    "data-focus": "closer",
  });
  if (fruit.crops[at])
    large.append(
      el("img", { src: fruit.crops[at], alt: t("line.js.judge.side", { n: at + 1, all: fruit.crops.length }) }),
    );
  else large.append(el("span", { class: "quiet" }, t("line.js.judge.no_picture")));
  large.append(el("span", { class: "suspect-more" }, icon("expand", 20)));
  large.addEventListener("click", () => closer(fruit));
  return large;
}

/** @param {Waiting} fruit */
function photographs(fruit) {
  const large = photograph(fruit);
  if (fruit.crops.length < 2) return el("div", { class: "photographs" }, large);
  const sides = fruit.crops.slice(0, 6).map((crop, i) => {
    const one = el(
      "button",
      {
        type: "button",
        class: "side-one",
        "aria-pressed": String(i === side),
        "aria-label": t("line.js.judge.side", { n: i + 1, all: fruit.crops.length }),
        "data-focus": `side-${i}`,
      },
      el("img", { src: crop, alt: "" }),
    );
    one.addEventListener("click", () => {
      side = i;
      draw();
    });
    return one;
  });
  return el("div", { class: "photographs" }, large, el("div", { class: "sides" }, ...sides));
}

/** @param {Waiting} fruit */
const closer = (fruit) =>
  ask(
    t("line.js.judge.fruit", { n: fruit.number }),
    () => [
      el(
        "div",
        { class: "closer" },
        ...fruit.crops.map((crop, i) =>
          el("img", { src: crop, alt: t("line.js.judge.side", { n: i + 1, all: fruit.crops.length }) }),
        ),
      ),
      el("ul", { class: "why" }, ...fruit.why.map((text) => el("li", {}, words(text)))),
      measures(fruit),
    ],
    "ask-wide",
  );

/** @param {Waiting} fruit */
function measures(fruit) {
  const { diameter_mm, length_mm, mass_g, marks_mm2 } = fruit.measures;
  /** @type {[string, number | null | undefined, string][]} */
  const rows = [
    ["diameter", diameter_mm, "mm"],
    ["length", length_mm, "mm"],
    ["mass", mass_g, "g"],
    ["marks", marks_mm2, "mm²"],
  ];
  return el(
    "dl",
    { class: "measures" },
    ...rows
      .filter(([, value]) => typeof value === "number")
      .map(([name, value, unit]) =>
        el(
          "div",
          {},
          el("dt", {}, t(`line.js.measure.${name}`)),
          el("dd", { class: "num" }, formatNumber(Math.round(Number(value) * 10) / 10), el("small", {}, unit)),
        ),
      ),
  );
}

/** @param {Batch} batch @param {Waiting} fruit */
function question(batch, fruit) {
  const candidates = fruit.candidates.length ? fruit.candidates : [fruit.nominal_tier];
  return [
    el(
      "div",
      { class: "look" },
      photographs(fruit),
      el("ul", { class: "why" }, ...fruit.why.map((text) => el("li", {}, words(text)))),
      measures(fruit),
    ),
    el(
      "div",
      { class: `answers answers-${Math.min(4, candidates.length)}` },
      ...candidates.map((tier) => answer(batch, fruit, tier)),
    ),
    button(
      t("line.js.judge.other"),
      guarded(() => change(batch, fruit, { isOther: true })),
      { kind: "push-line", icon: "more" },
    ),
  ];
}

/** @param {() => void} act */
const guarded = (act) => () => {
  if (performance.now() >= ready_at) act();
};

/** @param {Batch} batch @param {Waiting} fruit @param {string} tier */
function answer(batch, fruit, tier) {
  const needsSecond = isBetter(batch, tier, fruit.nominal_tier);
  const made = el(
    "button",
    { type: "button", class: "answer", "data-tier": tier, "data-focus": `answer-${tier}` },
    mark(tier, "xxl", tierName(batch, tier)),
    el("b", {}, tierName(batch, tier)),
    needsSecond
      ? el(
          "small",
          {},
          icon("people", 16),
          t(state.delivery.state === "offline" ? "line.js.judge.two_offline" : "line.js.judge.two"),
        )
      : tier === fruit.nominal_tier
        ? el("small", {}, t("line.js.judge.nominal"))
        : null,
  );
  made.addEventListener(
    "click",
    guarded(() => finish(batch, fruit, tier, "looked")),
  );
  return made;
}

/** @param {Batch} batch @param {Waiting} fruit */
function override(batch, fruit) {
  const draft = draftOf(keyOf(runOf(batch), fruit.number));
  const tiers = tiersOf(batch);
  const toggle = (
    /** @type {"tier" | "reason"} */ what,
    /** @type {string} */ value,
    /** @type {(Node | string)[]} */ ...inside
  ) => {
    const one = el(
      "button",
      {
        type: "button",
        class: `pick pick-${what}`,
        "aria-pressed": String(draft[what] === value),
        "data-focus": `${what}-${value}`,
      },
      ...inside,
    );
    one.addEventListener(
      "click",
      guarded(() => change(batch, fruit, { [what]: value })),
    );
    return one;
  };
  const { tier, reason } = draft;
  const done = button(
    tier && reason
      ? t("line.js.judge.confirm", { tier: tierName(batch, tier), reason: reasonName(reason) })
      : t("line.js.judge.choose"),
    guarded(() => tier && reason && finish(batch, fruit, tier, reason)),
    { kind: "push-main", icon: "check", disabled: !(tier && reason) },
  );
  return [
    el(
      "div",
      { class: "look look-other" },
      el(
        "div",
        { class: "small-look" },
        photograph(fruit),
        el(
          "div",
          {},
          el("ul", { class: "why" }, ...fruit.why.slice(0, 2).map((text) => el("li", {}, words(text)))),
          measures(fruit),
        ),
      ),
      el(
        "fieldset",
        { class: "picks-tier" },
        el("legend", {}, t("line.js.judge.tier")),
        el(
          "div",
          { class: "picks" },
          ...tiers.map((each) =>
            toggle("tier", each, mark(each, "lg", tierName(batch, each)), el("span", {}, tierName(batch, each))),
          ),
        ),
      ),
      el(
        "fieldset",
        {},
        el("legend", {}, t("line.js.judge.reason")),
        el(
          "div",
          { class: "picks picks-reason" },
          ...state.reasons.map((each) => toggle("reason", each, el("span", {}, reasonName(each)))),
        ),
      ),
    ),
    el(
      "div",
      { class: "pair pair-back" },
      button(t("line.js.back"), () => change(batch, fruit, null), { kind: "push-line", icon: "left" }),
      done,
    ),
  ];
}

/** @param {string} reason */
const reasonName = (reason) => wordOr(`line.js.reason.${reason}`, reason);

/** @param {Batch} batch @param {Waiting} fruit @param {Partial<import("./unsent.js").Draft> | null} part */
function change(batch, fruit, part) {
  const key = keyOf(runOf(batch), fruit.number);
  keepDraft(key, part && { ...draftOf(key), ...part });
  draw();
}

/** @param {Batch} batch @param {Waiting} fruit @param {string} tier @param {string} reason */
function finish(batch, fruit, tier, reason) {
  if (isBetter(batch, tier, fruit.nominal_tier)) {
    change(batch, fruit, { tier, reason, isOther: true });
    askSecond(fruit.number);
  } else commit(batch, fruit.number, tier, reason, null);
}

/** @param {number} number @param {string} [wrong] */
async function askSecond(number, wrong) {
  const code = await askCode({ ...secondPerson(), wrong });
  const batch = state.batch;
  if (!code || !batch) return;
  const { tier, reason } = draftOf(keyOf(runOf(batch), number));
  if (tier && reason) commit(batch, number, tier, reason, code);
  else say(t("line.js.judge.gone", { n: number }), "wait");
}

/** @param {Batch} batch @param {number} number @param {string} tier @param {string} reason @param {string | null} second_code */
function commit(batch, number, tier, reason, second_code) {
  decide({ batch: runOf(batch), number, tier, reason, second_code });
  draw();
  send();
}

/**
 * A fruit the camera graded and a person sees otherwise: tier and reason, and the second person where it is better.
 * @param {import("./types.js").Passed} fruit
 */
export async function correct(fruit) {
  const batch = state.batch;
  if (!batch) return;
  /** @type {{tier: string, reason: string} | null} */
  const chosen = await ask(t("line.js.judge.fruit", { n: fruit.number }), (finish) => {
    /** @type {Record<string, string | null>} */
    const draft = { tier: null, reason: null };
    const place = el("div", { class: "stack" });
    const show = () => {
      const pick = (
        /** @type {string} */ what,
        /** @type {string} */ value,
        /** @type {(Node | string)[]} */ ...inside
      ) => {
        const one = el(
          "button",
          { type: "button", class: `pick pick-${what}`, "aria-pressed": String(draft[what] === value) },
          ...inside,
        );
        one.addEventListener("click", () => {
          draft[what] = value;
          show();
        });
        return one;
      };
      const { tier, reason } = draft;
      fill(
        place,
        el(
          "fieldset",
          {},
          el("legend", {}, t("line.js.judge.tier")),
          el(
            "div",
            { class: "picks" },
            ...tiersOf(batch).map((each) =>
              pick("tier", each, mark(each, "lg", tierName(batch, each)), el("span", {}, tierName(batch, each))),
            ),
          ),
        ),
        el(
          "fieldset",
          {},
          el("legend", {}, t("line.js.judge.reason")),
          el(
            "div",
            { class: "picks" },
            ...state.reasons.map((each) => pick("reason", each, el("span", {}, reasonName(each)))),
          ),
        ),
        button(
          tier && reason
            ? t("line.js.judge.confirm", { tier: tierName(batch, tier), reason: reasonName(reason) })
            : t("line.js.judge.choose"),
          () => tier && reason && finish({ tier, reason }),
          { kind: "push-main", icon: "check", disabled: !(tier && reason) },
        ),
      );
    };
    show();
    return [place];
  });
  if (!chosen) return;
  const second_code = isBetter(batch, chosen.tier, fruit.tier) ? await askCode(secondPerson()) : null;
  if (isBetter(batch, chosen.tier, fruit.tier) && !second_code) return;
  try {
    const seen = new URLSearchParams({ opened_at: batch.opened_at, was: fruit.tier });
    await request("POST", `/fruit/${fruit.number}/judge?${seen}`, { ...chosen, second_code }, { timeout_ms: 8000 });
    say(t("line.js.judge.done", { n: fruit.number, tier: tierName(batch, chosen.tier) }));
  } catch (error) {
    say(refusal(error), "bad");
  }
}

/** @param {Batch} batch */
function tiersOf(batch) {
  const tiers = batch.tiers.map((each) => each.tier);
  return tiers.includes("cull") ? tiers : [...tiers, "cull"];
}

const secondPerson = () => ({
  title: t("line.js.second.title"),
  body: t("line.js.second.body"),
  label: t("line.js.second.label"),
  ok: t("line.js.second.ok"),
  isSecret: true,
});

/** Says that nothing waits. */
export function calmPanel() {
  return el(
    "div",
    { class: "calm" },
    icon("check", 32),
    el("h2", {}, t("line.js.calm.title")),
    el("p", { class: "quiet" }, t("line.js.calm.body")),
  );
}

// A key held down must not decide one fruit after the other.
need("#side").addEventListener("keydown", (event) => {
  if (event.repeat && (event.key === "Enter" || event.key === " ")) event.preventDefault();
});

/** Puts a panel in place of the last one; the focus stays on what it was on. @param {Node[]} panel */
export function fillSide(...panel) {
  const place = need("#side");
  const focused =
    document.activeElement instanceof HTMLElement && place.contains(document.activeElement)
      ? document.activeElement.dataset.focus
      : undefined;
  const scrolled = place.querySelector(".look")?.scrollTop ?? 0;
  fill(place, ...panel);
  const look = place.querySelector(".look");
  if (look) look.scrollTop = scrolled;
  if (focused) {
    const again = place.querySelector(`[data-focus="${CSS.escape(focused)}"]`);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }
}
