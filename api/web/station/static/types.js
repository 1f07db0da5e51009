// The shapes of what /api/v1/station/state answers, for the type checker. Nothing runs here.

/**
 * @typedef {{id: number, number: number, tier: string, camera_tier: string, nominal_tier: string,
 *   candidates: string[], size: string, rule: string, reason_zh: string, reason_en: string, price_fen: number,
 *   mass_g: number, length_um: number, width_um: number, blemish_mm2: number, limits_mm2: number[],
 *   doubts: {zh: string, en: string}[], is_unsure: boolean,
 *   outline: [number, number][], crop: string}} Fruit
 * @typedef {{id: number, picture: string, width: number, height: number, nm_per_pixel: number,
 *   milliseconds: number, cut: number, seen_at: string, fruit: Fruit[]}} Photograph
 * @typedef {{tier: string, fruits: number, mass_g: number, permille: number, value_fen: number, lot: string | null}} TierCount
 * @typedef {{from_mm: number, fruits: number}} SizeBin
 * @typedef {{received_g: number, unaccounted_g: number, mass_from: string, event_id: string}} Closing
 * @typedef {{number: number, code: string, reason: string}} Refused
 * @typedef {{ref: string, line: string, run: string, arrived: number, reached: number, expected: number | null,
 *   gaps: number, refused: Refused[], refusals: number, arrived_at: string | null, given_up_at: string | null,
 *   given_up_reason: string | null, is_open: boolean}} LineFill
 * @typedef {{ref: string, lot: string, lot_number: string, crop: string, variety: string, plots: string[],
 *   received_g: number, closed_at: string | null, fruits: number, photographs: number, camera_mass_g: number,
 *   doubtful: number, judged: number, tiers: TierCount[], widths: SizeBin[], photograph: Photograph | null,
 *   queue: Fruit[], line: LineFill | null, latest: Fruit[], closing: Closing | null,
 *   standard: {id: string, edition: string, title_zh: string, title_en: string, size_by: string}}} Batch
 * @typedef {{minutes: number, limit_minutes: number, due_at: string, is_stopped: boolean, is_late: boolean}} Clock
 * @typedef {{id: string, number: string, variety: string, plot: string, crates: string[], state: string,
 *   picked_g: number, received_g: number | null, pick_ended_at: string, held_reason: string, clock: Clock,
 *   batch: string | null, line: LineFill | null}} Lot
 * @typedef {{gtin: string, nominal_mass_g: number, missing: number}} Offer
 * @typedef {{id: string, number: string, tier: string, variety: string, mass_g: number, left_g: number,
 *   fruits: number, certificate: string | null, products: Offer[]}} GradedLot
 * @typedef {{id: string, gtin: string, serial: string, graded_lot: string, tier: string, variety: string,
 *   mass_g: number, nominal_mass_g: number, fruits: number, packed_at: string, is_sold: boolean,
 *   load: string | null, label_png: string, label_pdf: string}} Pack
 * @typedef {{id: string, ref: string, packs: string[], net_mass_g: number, logger: string | null,
 *   destination: string | null, loaded_at: string, shipped_at: string | null, delivered_at: string | null,
 *   mismatch: string[]}} Load
 * @typedef {{key: string, kind: string, is_grave: boolean, subject: string, at: string | null, minutes: number,
 *   detail: string}} Alarm
 * @typedef {{reference: string, reference_um: number, measured_um: number, nm_per_pixel: number, made_at: string,
 *   valid_until: string, is_valid: boolean}} Calibration
 * @typedef {{as_of: string, line: string, calibration: Calibration | null, batch: Batch | null, lots: Lot[],
 *   graded_lots: GradedLot[], packs: Pack[], loads: Load[], alarms: Alarm[]}} View
 */

export {};
