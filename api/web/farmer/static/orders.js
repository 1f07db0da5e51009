// @ts-check
/**
 * What a farmer's orders amount to, with what this phone has not sent yet counted in. Pure.
 *
 * @typedef {{
 *   crate: string, code: string, mass_g: number, started_at: string, ended_at: string, lot: string,
 *   lot_state: string, lot_crates: number, lot_picked_g: number, lot_received_g: number | null,
 *   received_at: string | null, cooled_at: string | null, command_id: string,
 *   unsent?: "waiting" | "parked",
 * }} CrateLine
 * @typedef {{
 *   pick_order: string, number: string, variety: string, tier: string,
 *   plot: {id: string, ref: string, name: string},
 *   ordered_g: number, picked_g: number, raised_at: string, pick_by: string, seen_at: string | null,
 *   state: "raised" | "picking" | "filled" | "short" | "closed" | "withdrawn",
 *   crates: CrateLine[],
 * }} Order
 * @typedef {{as_of: string, zone: string, cool_within_minutes: number, orders: Order[]}} FarmState
 * @typedef {"picking" | "raised" | "bring" | "delivered" | "withdrawn"} Standing
 * @typedef {import("./outbox.js").Entry} Entry
 */

/** The packing house may find this much more or less than the field; beyond it both weights stand. */
const ALLOWED_DIFFERENCE = 0.02;

/**
 * Return the orders with the crates that only this phone knows of.
 * @param {Order[]} orders
 * @param {Entry[]} entries  the outbox, oldest first
 * @returns {Order[]}
 */
export function withUnsent(orders, entries) {
  return orders.map((order) => {
    const known = new Set(order.crates.map((c) => c.command_id));
    const mine = entries.filter(
      (e) => e.kind === "pick" && e.state !== "put_away" && e.payload.pick_order === order.pick_order && !known.has(e.uuid),
    );
    if (mine.length === 0) return order;
    /** @type {CrateLine[]} */
    const extra = mine.flatMap((e) =>
      e.payload.crates.map((/** @type {{crate: string, mass_g: number}} */ c) => ({
        crate: c.crate,
        code: e.note.code ?? c.crate,
        mass_g: c.mass_g,
        started_at: e.payload.started_at,
        ended_at: e.payload.ended_at,
        lot: "",
        lot_state: "unsent",
        lot_crates: 1,
        lot_picked_g: c.mass_g,
        lot_received_g: null,
        received_at: null,
        cooled_at: null,
        command_id: e.uuid,
        unsent: e.state === "parked" ? "parked" : "waiting",
      })),
    );
    const counted = extra.filter((c) => c.unsent === "waiting").reduce((sum, c) => sum + c.mass_g, 0);
    return { ...order, picked_g: order.picked_g + counted, crates: [...order.crates, ...extra] };
  });
}

/**
 * Return what the order asks of the farmer now.
 * @param {Order} order
 * @param {string | undefined} startedAt  when picking began on this phone
 * @returns {Standing}
 */
export function standing(order, startedAt) {
  if (order.state === "withdrawn" && !warm(order).length) return "withdrawn";
  const isEnough = toGo(order) === 0 || order.state === "closed" || order.state === "withdrawn" || order.state === "filled";
  if (isEnough) return warm(order).length ? "bring" : "delivered";
  return order.crates.length > 0 || startedAt !== undefined || order.state === "picking" ? "picking" : "raised";
}

/** @param {Order} order */
export const toGo = (order) => Math.max(0, order.ordered_g - order.picked_g);

/**
 * Crates that are picked and not in the cold room yet, the oldest first.
 * @param {Order} order
 */
export function warm(order) {
  const still = order.crates.filter((c) => c.cooled_at === null && c.unsent !== "parked" && c.lot_state !== "consumed");
  return still.sort((a, b) => a.started_at.localeCompare(b.started_at));
}

/**
 * Return until when which crate must be in the cold room, or null where nothing is warm.
 * @param {Order} order
 * @param {string | undefined} startedAt
 * @param {number} minutes
 * @returns {{by: number, crate: string} | null}  by: milliseconds since 1970
 */
export function coolBy(order, startedAt, minutes) {
  const first = warm(order)[0];
  const since = first?.started_at ?? startedAt;
  return since === undefined ? null : { by: Date.parse(since) + minutes * 60_000, crate: first?.code ?? "" };
}

const URGENCY = { picking: 0, bring: 1, raised: 2, delivered: 3, withdrawn: 4 };

/**
 * Return the orders as they are worked through: begun first, then by when they are wanted; what is over at the end.
 * @param {Order[]} orders
 * @param {Record<string, string>} started
 */
export function inOrder(orders, started) {
  const place = (/** @type {Order} */ o) => URGENCY[standing(o, started[o.pick_order])];
  return [...orders].sort(
    (a, b) => place(a) - place(b) || a.pick_by.localeCompare(b.pick_by) || a.number.localeCompare(b.number),
  );
}

/**
 * Return the crate that still holds something of today, if this one does.
 * @param {Order[]} orders
 * @param {string} code
 */
export function heldBy(orders, code) {
  for (const order of orders) {
    for (const crate of order.crates) {
      const isEmptied = crate.lot_state === "consumed";
      if (crate.code === code && crate.unsent !== "parked" && !isEmptied) return crate;
    }
  }
  return null;
}

/**
 * Return lots whose two weights are further apart than allowed: neither is changed, both are shown.
 * @param {Order[]} orders
 */
export function clashes(orders) {
  const seen = new Set();
  return orders
    .flatMap((o) => o.crates)
    .filter((c) => {
      if (c.lot_received_g === null || c.lot_state !== "held" || seen.has(c.lot)) return false;
      seen.add(c.lot);
      return Math.abs(c.lot_received_g - c.lot_picked_g) > c.lot_picked_g * ALLOWED_DIFFERENCE;
    });
}
