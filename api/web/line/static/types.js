// The shapes of what the line program's /state answers, for the type checker. Nothing runs here.

/**
 * @typedef {{zh: string, en: string}} Text
 * @typedef {{tier: string, name: Text, fruit: number, mass_g: number, price_fen: number, lane: number | null}} TierCount
 * @typedef {{ref: string, lot: string, crop: string, variety: string, standard: {id: string, edition: string},
 *   opened_at: string, received_g: number, fruit: number, mass_g: number, rate_per_min: number, doubtful: number,
 *   rejected: number, tiers: TierCount[], near?: {fruit: number, fen: number}, weighed?: number,
 *   lost?: {fruit: number, last: {number: number, tier: string, lane: number | null, why: Text}[]}}} Batch
 * @typedef {{from: "scale" | "camera", estimated_g: number, scale_g: number | null, unweighed: Text | null}} Mass
 * @typedef {{diameter_mm?: number | null, length_mm?: number | null, mass_g?: number | null,
 *   marks_mm2?: number | null}} Measures
 * @typedef {{number: number, crops: string[], candidates: string[], nominal_tier: string, why: Text[],
 *   measures: Measures, mass?: Mass | null, at: string}} Waiting
 * @typedef {{number: number, tier: string, lane: number | null, crop: string | null, mass_g: number | null,
 *   price_fen: number | null, reason: Text, at: string, mass?: Mass | null, near_fen?: number | null,
 *   lost?: Text | null}} Passed
 * @typedef {{id: string, kind: string, level: "warning" | "stop", since: string, text: Text}} Alarm
 * @typedef {{name: string, state: "running" | "waiting" | "lost" | "ended", fps: number, since: string, dropped?: number, skipped?: number}} Source
 * @typedef {{state: "valid" | "expires_soon" | "expired" | "missing", valid_until: string | null, name: string}} Calibration
 * @typedef {{state: "up_to_date" | "waiting" | "offline" | "refused" | "off", waiting: number, delivered_at: string | null,
 *   error: string | null}} Delivery
 * @typedef {{name: string, state: "ready" | "lost" | "off", detail: string}} Output
 * @typedef {{not_asked: number, agreed: number, hollows: number, disputed: number, too_late: number}} LookedAgain
 * @typedef {{as_of: string, line: string, house: string, source: Source, batch: Batch | null, queue: Waiting[],
 *   last: Passed[], calibration: Calibration, alarms: Alarm[], delivery: Delivery, outputs: Output[],
 *   marks?: LookedAgain | null, reasons: string[]}} State
 *
 * `lane` is where a fruit was sent: 0 is the belt's end, null where no gate sorts or nobody can say where it lies.
 * `price_fen` of a tier is the sum over its fruit; that of a fruit is its own.
 *
 * What a person decided of a fruit and has not sent yet, or has sent without an answer.
 * @typedef {{batch: string, number: number, tier: string, reason: string, second_code: string | null}} Judgement
 */

export {};
