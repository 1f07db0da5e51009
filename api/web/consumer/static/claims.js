// What the head of the page claims, looked up anew: which record says a pack's weight, tier and date, and
// whether a recall reaches it. A true number of some other record must not pass for this pack's.

/** @typedef {import("/web/shared/verify/proof.js").VerifiedEntry} VerifiedEntry */

/**
 * Where each claim about a subject stands, as `leaf/json/pointer`.
 * @param {string} subject
 * @param {VerifiedEntry[]} entries
 * @returns {Map<string, string>}
 */
export function claimsOf(subject, entries) {
  /** @type {Map<string, string>} */
  const claims = new Map();
  const valid = effective(entries);
  const packed = valid.find(({ event }) => is(event, "packed") && event.parentID === subject);
  const activated = valid.find(({ event }) => is(event, "code_activated") && event.epcList?.includes(subject));
  if (packed) {
    claims.set("net", `${packed.index}/childQuantityList/0/quantity`);
    claims.set("count", `${packed.index}/gy:pack/gy:fruits`);
  }
  if (activated) {
    claims.set("tier", `${activated.index}/ilmd/gy:tier`);
    claims.set("until", `${activated.index}/ilmd/cbvmda:bestBeforeDate`);
  }
  return claims;
}

/**
 * Whether a recall is in force that names the subject or a lot it came from.
 * @param {string} subject
 * @param {VerifiedEntry[]} entries
 */
export function isRecalled(subject, entries) {
  const valid = effective(entries);
  const reached = new Set([subject]);
  for (const { event } of valid) {
    if (is(event, "packed") && event.parentID === subject) reached.add(event.childQuantityList?.[0]?.epcClass);
    if (is(event, "picked")) reached.add(event.quantityList?.[0]?.epcClass);
  }
  const recalls = valid.filter(({ event }) => {
    const named = [...(event.epcList ?? []), ...(event.quantityList ?? []).map((/** @type {any} */ q) => q.epcClass)];
    return is(event, "recalled") && named.some((name) => reached.has(name));
  });
  recalls.sort((a, b) => (a.event.eventTime < b.event.eventTime ? -1 : 1));
  return recalls.at(-1)?.event.persistentDisposition?.set?.includes("recalled") ?? false;
}

/**
 * The entries that no later entry declares wrong.
 * @param {VerifiedEntry[]} entries
 */
function effective(entries) {
  const wrong = new Set(entries.filter(({ event }) => event.errorDeclaration).map(({ eventId }) => eventId));
  return entries.filter(({ eventId }) => !wrong.has(eventId));
}

/** @param {any} event @param {string} name */
function is(event, name) {
  return String(event["gy:sentence"]).split("/")[0] === name;
}
