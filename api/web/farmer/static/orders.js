// @ts-check
/**
 * What a farmer's orders amount to, with what this phone has not sent yet counted in. Pure.
 *
 * @typedef {{
 *   crate: string, code: string, mass_g: number, started_at: string, ended_at: string, lot: string,
 *   lot_state: string, lot_picked_g: number, lot_received_g: number | null,
 *   received_at: string | null, cooling_started_at: string | null, command_id: string,
 *   unsent?: "waiting" | "parked",
 * }} CrateLine
 * @typedef {{
 *   pick_order: string, number: string, variety: string, tier: string,
 *   plot: {id: string, ref: string, name: string},
 *   ordered_g: number, enough_g: number, picked_g: number, raised_at: string, pick_by: string, seen_at: string | null,
 *   state: "raised" | "picking" | "filled" | "short" | "closed" | "withdrawn",
 *   crates: CrateLine[],
 * }} Order
 * @typedef {{as_of: string, zone: string, cool_within_minutes: number, orders: Order[]}} FarmState
 * @typedef {"picking" | "raised" | "bring" | "delivered" | "withdrawn"} Standing
 * @typedef {import("./outbox.js").Entry} Entry
 */

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
      (e) =>
        e.kind === "pick" && e.state !== "put_away" && e.payload.pick_order === order.pick_order && !known.has(e.uuid),
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
        lot_picked_g: c.mass_g,
        lot_received_g: null,
        received_at: null,
        cooling_started_at: null,
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
  const isOver = toGo(order) === 0 || !["raised", "picking"].includes(order.state);
  if (isOver && warm(order).length) return "bring";
  if (isOver) return order.state === "withdrawn" && order.crates.length === 0 ? "withdrawn" : "delivered";
  return order.crates.length > 0 || startedAt !== undefined || order.state === "picking" ? "picking" : "raised";
}

/**
 * Grams still to be picked; none once the order counts as filled.
 * @param {Order} order
 */
export const toGo = (order) => (order.picked_g >= order.enough_g ? 0 : order.ordered_g - order.picked_g);

/**
 * Crates that are picked and not in the cold room yet, the oldest first.
 * @param {Order} order
 */
export function warm(order) {
  const still = order.crates.filter(
    (c) => c.cooling_started_at === null && c.unsent !== "parked" && c.lot_state !== "consumed",
  );
  return still.sort((a, b) => a.ended_at.localeCompare(b.ended_at));
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
  // A crate's two hours run from when it was full; before the first one is, from when picking began.
  const since = first?.ended_at ?? startedAt;
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
 * Return what a crate still holds: it is empty again once the packing house has received it.
 * @param {Order[]} orders
 * @param {string} code
 */
export function heldBy(orders, code) {
  for (const order of orders) {
    for (const crate of order.crates) {
      if (crate.code === code && crate.unsent !== "parked" && crate.received_at === null) return crate;
    }
  }
  return null;
}

/**
 * Return one crate of each lot that is held because its two weights do not agree: both are shown, neither is changed.
 * @param {Order[]} orders
 */
export function clashes(orders) {
  const held = orders.flatMap((o) => o.crates).filter((c) => c.lot_state === "held" && c.lot_received_g !== null);
  return [...new Map(held.map((c) => [c.lot, c])).values()];
}
