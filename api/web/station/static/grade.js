// Grading: the photograph, the counters, the widths, and the fruit that wait for a person.

import {
  el,
  formatClock,
  formatKg,
  formatNumber,
  formatYuan,
  icon,
  lang,
  postJson,
  request,
  svg,
  t,
  tierMark,
} from "/web/shared/kit.js";
import { act, ask, askPicture, button, nothing, say } from "./desk.js";
import { calmPanel, fillingOf, waitingPanel } from "./filling.js";
import { drawPicture, tierShape } from "./picture.js";

/** @typedef {import("./types.js").View} View */
/** @typedef {import("./types.js").Batch} Batch */
/** @typedef {import("./types.js").Fruit} Fruit */

/**
 * @param {View} view
 * @returns {[string, unknown, () => Node][]} regions: name, what it depends on, how it is drawn
 */
export function gradeRegions(view) {
  const batch = view.batch;
  if (!batch) {
    return [
      [
        "alone",
        null,
        () =>
          nothing(
            "camera",
            "station.js.no_batch",
            button(t("station.js.to_dock"), () => go("dock"), { kind: "push-main", mark: "crate" }),
            el("p", { class: "nothing-more" }, t("station.js.no_batch.line")),
          ),
      ],
    ];
  }
  const first = batch.queue[0];
  const { line } = batch;
  return [
    line
      ? ["picture", [line, batch.latest, minute()], () => fillingOf(batch, line)]
      : ["picture", [batch.photograph, first?.id, batch.closed_at], () => pictureOf(batch, first?.id ?? null)],
    ["counters", batch.tiers, () => counters(batch)],
    ["widths", [batch.widths, batch.camera_mass_g, batch.photographs], () => widths(batch)],
    [
      "judge",
      [first, batch.doubtful, batch.judged, batch.closing, view.calibration, batch.fruits, batch.line],
      () => aside(batch, view),
    ],
  ];
}

/** How long ago something arrived is said anew each minute. */
const minute = () => Math.floor(Date.now() / 60_000);

/** @param {string} tab */
const go = (tab) => {
  location.hash = `#/${tab}`;
};

/**
 * @param {Batch} batch
 * @param {number | null} chosen
 */
function pictureOf(batch, chosen) {
  const photograph = batch.photograph;
  if (!photograph)
    return el("figure", { class: "view" }, nothing("image", "station.js.no_picture", shootButton(batch)));
  const each = photograph.fruit.length ? Math.round(photograph.milliseconds / photograph.fruit.length) : 0;
  return el(
    "figure",
    { class: "view" },
    drawPicture(photograph, chosen),
    el(
      "figcaption",
      { class: "under" },
      el("span", {}, t("station.js.seen_at", { time: formatClock(photograph.seen_at) })),
      el("span", { class: "num" }, t("station.js.fruits", { n: photograph.fruit.length })),
      el("span", { class: "num quiet" }, t("station.js.each", { ms: each })),
      photograph.cut ? el("span", { class: "quiet" }, t("station.js.cut", { n: photograph.cut })) : null,
      ruler(photograph),
      batch.closed_at ? null : shootButton(batch),
    ),
  );
}

/** @param {Batch} batch */
function shootButton(batch) {
  return button(t("station.js.shoot"), () => shoot(batch.ref), { kind: "push-shoot", mark: "camera" });
}

/** @param {string} ref */
async function shoot(ref) {
  const file = await askPicture();
  if (!file) return;
  say(t("station.js.shooting"), "wait");
  const headers = { "content-type": file.type };
  await act(
    () =>
      request("POST", `/api/v1/station/batches/${encodeURIComponent(ref)}/photographs`, file, {
        headers,
        timeout_ms: 60000,
      }),
    (answer) => t("station.js.shot", { n: answer.fruits, doubtful: answer.doubtful }),
  );
}

/** @param {import("./types.js").Photograph} photograph */
function ruler(photograph) {
  const wide = (50e6 / photograph.nm_per_pixel / photograph.width) * 800;
  const line = svg("svg", {
    class: "ruler",
    viewBox: `0 0 ${wide + 2} 10`,
    width: wide,
    height: 10,
    "aria-hidden": "true",
  });
  line.append(svg("path", { d: `M1 1v8M${wide + 1} 1v8M1 5h${wide}` }));
  return el("span", { class: "quiet ruled num" }, line, "50 mm");
}

/** @param {Batch} batch */
function counters(batch) {
  return el(
    "ul",
    { class: "counters" },
    ...batch.tiers.map((each) =>
      el(
        "li",
        { class: "counter", "data-tier": each.tier },
        el("p", { class: "counter-name" }, tierMark(each.tier, "lg"), t(`station.js.tier.${each.tier}`)),
        el("b", { class: "counter-big num" }, formatNumber(each.fruits)),
        share(each.permille),
        el(
          "p",
          { class: "counter-more num" },
          el("span", {}, formatKg(each.mass_g)),
          el("span", { class: "quiet" }, formatYuan(each.value_fen)),
        ),
      ),
    ),
  );
}

/** @param {number} permille */
function share(permille) {
  const bar = svg("svg", { class: "share", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
  bar.append(svg("rect", { class: "share-rail", width: 100, height: 6, rx: 3 }));
  if (permille > 0)
    bar.append(svg("rect", { class: "share-fill", width: Math.max(3, permille / 10), height: 6, rx: 3 }));
  return el("p", { class: "counter-share num" }, bar, el("span", {}, (permille / 10).toFixed(1), el("small", {}, "%")));
}

/** @param {Batch} batch */
function widths(batch) {
  const bins = batch.widths;
  const [w, h, foot] = [760, 92, 22];
  const chart = svg("svg", {
    class: "widths",
    viewBox: `0 0 ${w} ${h}`,
    role: "img",
    "aria-label": t("station.js.widths"),
  });
  const most = Math.max(1, ...bins.map((bin) => bin.fruits));
  const step = bins.length ? Math.min(56, (w - 20) / bins.length) : 0;
  bins.forEach((bin, index) => {
    const tall = (bin.fruits / most) * (h - foot - 20);
    const x = 10 + index * step;
    if (bin.fruits) {
      chart.append(svg("rect", { x, y: h - foot - tall, width: step - 4, height: tall, rx: 3 }));
      const count = svg("text", { class: "count", x: x + step / 2 - 2, y: h - foot - tall - 5 });
      count.textContent = String(bin.fruits);
      chart.append(count);
    }
    const at = svg("text", { x, y: h - 5 });
    at.textContent = index === bins.length - 1 ? `${bin.from_mm} mm` : String(bin.from_mm);
    chart.append(at);
  });
  return el(
    "section",
    { class: "spread" },
    el(
      "header",
      {},
      el("h2", {}, t("station.js.widths")),
      el(
        "p",
        { class: "num" },
        t("station.js.total", { n: formatNumber(batch.fruits), kg: formatKg(batch.camera_mass_g) }),
        batch.line ? "" : ` · ${t("station.js.photographs", { n: batch.photographs })}`,
      ),
    ),
    chart,
  );
}

// --- the fruit that wait for a person -------------------------------------------------------------

/**
 * @param {Batch} batch
 * @param {View} view
 */
function aside(batch, view) {
  const fruit = batch.queue[0];
  if (fruit) return judgePanel(batch, fruit);
  if (batch.closing) return closedPanel(batch, batch.closing);
  if (batch.line && batch.line.expected === null) return waitingPanel(batch, batch.line);
  return calmPanel(
    batch,
    {
      mark: "check",
      title: t(batch.line ? "station.js.line.done.title" : "station.js.judge.none.title"),
      body: batch.line ? null : t("station.js.judge.none.body"),
    },
    calibrationLine(view),
    button(t("station.js.close"), () => close(batch), {
      kind: "push-main",
      mark: "check",
      disabled: batch.fruits === 0,
    }),
  );
}

/**
 * @param {Batch} batch
 * @param {Fruit} fruit
 */
function judgePanel(batch, fruit) {
  const isMarks = fruit.rule.includes("marks") || fruit.rule.includes("surface");
  const [better, worse] = [fruit.candidates[0] ?? fruit.nominal_tier, fruit.candidates[1] ?? fruit.nominal_tier];
  const others = batch.tiers.map((each) => each.tier).filter((tier) => tier !== better && tier !== worse);
  return el(
    "aside",
    { class: "judge" },
    el(
      "header",
      { class: "judge-head" },
      el("h2", {}, t("station.js.judge.title"), el("small", {}, t("station.js.judge.where", { number: fruit.number }))),
      el("p", { class: "queue num" }, ...queueDots(batch.doubtful)),
    ),
    el(
      "figure",
      { class: "suspect" },
      el("img", { src: fruit.crop, alt: t("station.js.judge.where", { number: fruit.number }) }),
      el(
        "figcaption",
        { class: "num" },
        String(Math.round(fruit.width_um / 1000)),
        el("small", {}, "mm"),
        " ",
        String(fruit.mass_g),
        el("small", {}, "g"),
      ),
    ),
    el("p", { class: "why" }, whyOf(fruit, isMarks)),
    scaleOf(batch, fruit),
    el("div", { class: "answers" }, answer(fruit, better), answer(fruit, worse)),
    button(
      t("station.js.judge.other", {
        tiers: others.map((tier) => t(`station.js.tier.${tier}`)).join(lang === "zh" ? "、" : ", "),
      }),
      () => other(batch, fruit),
      { kind: "push-line", mark: "more" },
    ),
  );
}

/**
 * Why the camera asks: what is doubted about the fruit, that it is unsure of it, or a limit near by.
 * @param {Fruit} fruit
 * @param {boolean} isMarks
 */
function whyOf(fruit, isMarks) {
  if (fruit.doubts.length)
    return fruit.doubts.map((text) => (lang === "zh" ? text.zh : text.en)).join(lang === "zh" ? "；" : "; ");
  if (fruit.is_unsure) return t("station.js.judge.why_unsure");
  return isMarks
    ? t("station.js.judge.why", { value: (fruit.blemish_mm2 / 100).toFixed(1) })
    : t("station.js.judge.why_size");
}

/** @param {number} waiting */
function queueDots(waiting) {
  const dots = Array.from({ length: Math.min(3, waiting) }, (_, index) =>
    el("span", { class: index ? "dot" : "dot dot-now" }, index + 1),
  );
  return waiting > 3 ? [...dots, el("span", { class: "quiet" }, `+${waiting - 3}`)] : dots;
}

/**
 * @param {Batch} batch
 * @param {Fruit} fruit
 */
function scaleOf(batch, fruit) {
  const tiers = batch.tiers.map((each) => each.tier);
  const most = Math.max(fruit.blemish_mm2 * 1.25, (fruit.limits_mm2.at(-1) ?? 100) * 1.1);
  const at = (/** @type {number} */ mm2) => 6 + (Math.min(mm2, most) / most) * 408;
  const scale = svg("svg", {
    class: "marks",
    viewBox: "0 0 420 58",
    role: "img",
    "aria-label": lang === "zh" ? fruit.reason_zh : fruit.reason_en,
  });
  scale.append(
    svg("rect", { class: "marks-rail", x: 0, y: 26, width: 420, height: 8, rx: 4 }),
    svg("rect", { class: "marks-fill", x: 0, y: 26, width: at(fruit.blemish_mm2), height: 8, rx: 4 }),
  );
  fruit.limits_mm2.forEach((limit, index) => {
    const x = at(limit);
    scale.append(
      svg("path", { class: "marks-limit", d: `M${x} 19v22` }),
      tierShape(tiers[index] ?? "C", x - 13, 49, 8),
    );
    const text = svg("text", { class: "marks-text", x, y: 54, "text-anchor": "start" });
    text.textContent = (limit / 100).toFixed(1);
    scale.append(text);
  });
  const x = at(fruit.blemish_mm2);
  const now = svg("text", { class: "marks-now", x: Math.min(Math.max(x, 30), 385), y: 15 });
  now.textContent = `${(fruit.blemish_mm2 / 100).toFixed(1)} cm²`;
  scale.append(svg("circle", { class: "marks-dot", cx: x, cy: 30, r: 8 }), now);
  return scale;
}

/**
 * @param {Fruit} fruit
 * @param {string} tier
 */
function answer(fruit, tier) {
  const made = el(
    "button",
    { type: "button", class: "answer" },
    tierMark(tier, "xxl"),
    el("span", {}, t(`station.js.tier.${tier}`)),
  );
  made.addEventListener("click", () => judge(fruit, tier, "looked"));
  return made;
}

/**
 * @param {Fruit} fruit
 * @param {string} tier
 * @param {string} reason
 * @param {string} [second_code]
 */
async function judge(fruit, tier, reason, second_code) {
  const body = second_code ? { tier, reason, second_code } : { tier, reason };
  const order = ["A", "B", "C", "cull"];
  if (!second_code && order.indexOf(tier) < order.indexOf(fruit.nominal_tier)) {
    const code = await askSecond();
    if (code) await judge(fruit, tier, reason, code);
    return;
  }
  await act(
    () => postJson(`/api/v1/station/fruits/${fruit.id}/judgement`, body),
    () => t("station.js.judge.done", { number: fruit.number, tier: t(`station.js.tier.${tier}`) }),
  );
}

/** @returns {Promise<string | null>} */
function askSecond() {
  return ask(t("station.js.judge.second.title"), (finish) => {
    const input = el("input", {
      type: "text",
      autocomplete: "off",
      autocapitalize: "characters",
      spellcheck: "false",
      maxlength: 20,
    });
    const form = el(
      "form",
      { class: "stack" },
      el("p", { class: "quiet" }, t("station.js.judge.second.body")),
      el("label", { class: "field" }, el("span", {}, t("station.js.judge.second.label")), input),
      el("button", { class: "huge huge-main" }, t("station.js.ok")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) finish(input.value.trim());
    });
    return [form];
  });
}

/**
 * @param {Batch} batch
 * @param {Fruit} fruit
 */
async function other(batch, fruit) {
  const reasons = ["looked", "bruise", "sap-mark", "rot", "insect", "shape", "not-a-fruit"];
  /** @type {[string, string] | null} */
  const chosen = await ask(t("station.js.judge.where", { number: fruit.number }), (finish) => {
    const select = el(
      "select",
      {},
      ...reasons.map((reason) => el("option", { value: reason }, t(`station.js.judge.reason.${reason}`))),
    );
    const tiers = batch.tiers.map((each) => {
      const made = el(
        "button",
        { type: "button", class: "answer" },
        tierMark(each.tier, "xl"),
        el("span", {}, t(`station.js.tier.${each.tier}`)),
      );
      made.addEventListener("click", () => finish([each.tier, select.value]));
      return made;
    });
    return [
      el("label", { class: "field" }, el("span", {}, t("station.js.judge.reason")), select),
      el("div", { class: "answers answers-four" }, ...tiers),
    ];
  });
  if (chosen) await judge(fruit, chosen[0], chosen[1]);
}

// --- closing --------------------------------------------------------------------------------------

/** @param {Batch} batch */
async function close(batch) {
  const present = batch.tiers.filter((each) => each.fruits > 0);
  /** @type {{weighed_g?: Record<string, number>} | null} */
  const chosen = await ask(t("station.js.close.title", { ref: batch.ref }), (finish) => {
    const fields = present.map((each) => ({
      tier: each.tier,
      input: el("input", {
        type: "text",
        inputmode: "decimal",
        autocomplete: "off",
        "aria-label": `${t(`station.js.tier.${each.tier}`)} kg`,
      }),
    }));
    const read = () =>
      Object.fromEntries(
        fields.map(({ tier, input }) => [tier, Math.round(Number(input.value.replace(",", ".")) * 1000)]),
      );
    const weighed = el(
      "button",
      { type: "button", class: "huge huge-main", disabled: true },
      t("station.js.close.weighed"),
    );
    const shared = el("button", { type: "button", class: "huge" }, t("station.js.close.share"));
    weighed.addEventListener("click", () => finish({ weighed_g: read() }));
    shared.addEventListener("click", () => finish({}));
    const rows = fields.map(({ tier, input }) => {
      input.addEventListener("input", () => {
        weighed.disabled = !Object.values(read()).every((grams) => grams > 0);
      });
      return el("label", { class: "tier-weight" }, tierMark(tier, "lg"), input, el("span", { class: "quiet" }, "kg"));
    });
    return [
      el(
        "p",
        { class: "quiet" },
        t("station.js.close.body", { received: formatKg(batch.received_g), n: batch.fruits }),
      ),
      el("div", { class: "stack" }, ...rows),
      el("div", { class: "pair" }, shared, weighed),
    ];
  });
  if (!chosen) return;
  await act(
    () => postJson(`/api/v1/station/batches/${encodeURIComponent(batch.ref)}/close`, chosen),
    () => t("station.js.closed.body"),
  );
}

/**
 * @param {Batch} batch
 * @param {import("./types.js").Closing} closing
 */
function closedPanel(batch, closing) {
  return el(
    "aside",
    { class: "judge judge-empty" },
    el(
      "div",
      { class: "calm calm-done" },
      icon("seal", 32),
      el("h2", {}, t("station.js.closed")),
      el("p", { class: "quiet" }, t("station.js.closed.body")),
      el(
        "p",
        { class: "num" },
        `${formatKg(closing.received_g)} · ${t(`station.js.closed.${closing.mass_from}`)}`,
        closing.unaccounted_g
          ? ` · ${t("station.js.closed.unaccounted", { mass: formatKg(closing.unaccounted_g) })}`
          : "",
      ),
      el(
        "ul",
        { class: "lots-out" },
        ...batch.tiers
          .filter((each) => each.lot)
          .map((each) =>
            el(
              "li",
              {},
              tierMark(each.tier, "lg"),
              el("b", { class: "num" }, formatKg(each.mass_g)),
              el("span", { class: "quiet num" }, decodeURIComponent((each.lot ?? "").split("/").at(-1) ?? "")),
            ),
          ),
      ),
    ),
    el(
      "a",
      { href: `/station/batches/${encodeURIComponent(batch.ref)}/report`, class: "push push-line report-link" },
      t("station.js.closed.report"),
    ),
    button(t("station.js.to_pack"), () => go("pack"), { kind: "push-main", mark: "box" }),
  );
}

// --- calibration ----------------------------------------------------------------------------------

/** @param {View} view */
function calibrationLine(view) {
  const last = view.calibration;
  const text = last
    ? t("station.js.calibrate.last", {
        reference: millimetres(last.reference_um),
        measured: millimetres(last.measured_um),
        scale: (last.nm_per_pixel / 1e6).toFixed(3),
      })
    : t("station.js.top.calibration.none");
  return el(
    "div",
    { class: "calibration-line" },
    el("p", { class: "quiet num" }, text),
    button(t("station.js.calibrate"), calibrate, { kind: "push-line", mark: "target" }),
  );
}

/** @param {number} um */
const millimetres = (um) => (um / 1000).toFixed(2);

/** Asks which reference lies under the camera, takes its photograph and checks the scale. */
export async function calibrate() {
  /** @type {string | null} */
  const reference = await ask(t("station.js.calibrate.title"), (finish) => [
    el("p", { class: "quiet" }, t("station.js.calibrate.body")),
    el(
      "div",
      { class: "pair" },
      ...["marker", "coin"].map((kind) => {
        const made = el(
          "button",
          { type: "button", class: "huge" },
          icon(kind === "marker" ? "grid" : "ruler"),
          t(`station.js.calibrate.${kind}`),
        );
        made.addEventListener("click", () => finish(kind));
        return made;
      }),
    ),
  ]);
  if (!reference) return;
  const file = await askPicture();
  if (!file) return;
  say(t("station.js.shooting"), "wait");
  await act(
    () =>
      request("POST", `/api/v1/station/calibrations?reference=${reference}`, file, {
        headers: { "content-type": file.type },
        timeout_ms: 60000,
      }),
    (answer) =>
      t("station.js.calibrate.done", {
        reference: millimetres(answer.reference_um),
        measured: millimetres(answer.measured_um),
        time: formatClock(answer.valid_until),
      }),
  );
}
