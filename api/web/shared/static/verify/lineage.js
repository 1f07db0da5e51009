// Which events concern a thing: ledger/docs/format.md, section "Connection". The same rules as ledger/lineage.py.
import { demand, VerificationError } from "./errors.js";

const OBJECT = 1;
const PARENT = 2;
const CHILD = 4;
const INPUT = 8;
const OUTPUT = 16;
const DOCUMENT = 32;
const PLACE = 64;
const SOURCE = 128;
const DESTINATION = 256;
const DEVICE = 512;
const REFERENCE = 1024;
const ANY = 2047;

/** @type {[string, number][]} */
const LISTS = [
  ["epcList", OBJECT],
  ["childEPCs", CHILD],
  ["inputEPCList", INPUT],
  ["outputEPCList", OUTPUT],
];
/** @type {[string, string, number][]} */
const OBJECT_LISTS = [
  ["quantityList", "epcClass", OBJECT],
  ["childQuantityList", "epcClass", CHILD],
  ["inputQuantityList", "epcClass", INPUT],
  ["outputQuantityList", "epcClass", OUTPUT],
  ["bizTransactionList", "bizTransaction", DOCUMENT],
  ["sourceList", "source", SOURCE],
  ["destinationList", "destination", DESTINATION],
];
const NOT_A_REFERENCE = new Set(["gy:recorder", "gy:sentence", "gy:evidence", "gy:digests"]);
const READINGS = ["reading_conflict/1", "window_closed/1"];
const OF_PLOT = ["device_enrolled/1", "plot_registered/1", "treated/1"];
const NEWEST_READINGS = 96;
const HOUR_MS = 3_600_000;
const BTT = "https://ns.guoyuan.example/epcis/btt/";
/** By which sentence each type of document comes into the world. */
const DEFINING = new Map([
  ["prodorder", ["pick_order_raised/1"]],
  ["po", ["sold/1"]],
  [`${BTT}broadcast`, ["broadcast_opened/1"]],
  [`${BTT}quota`, ["quota_granted/1"]],
  [`${BTT}cert`, ["certificate_issued/1"]],
  ["cert", ["certificate_issued/1"]],
]);

/**
 * @typedef {Record<string, any>} Event
 * @typedef {"subject" | "behind" | "ahead" | "plot" | "device" | "document" | "event"} Stance
 * @typedef {{ identifier: string, stance: Stance, roles: number, sentences?: string[], without?: string[],
 *   since?: string, until?: string, newest?: number }} Query
 */

/**
 * Every identifier that an event names, with its roles.
 * @param {Event} event
 * @returns {Map<string, number>}
 */
export function names(event) {
  /** @type {Map<string, number>} */
  const found = new Map();
  const add = (/** @type {unknown} */ identifier, /** @type {number} */ role) => {
    demand(typeof identifier === "string", "an event holds something else where an identifier belongs");
    found.set(identifier, (found.get(identifier) ?? 0) | role);
  };
  for (const [field, role] of LISTS) {
    if (field in event) for (const item of list(event[field])) add(item, role);
  }
  for (const [field, key, role] of OBJECT_LISTS) {
    if (field in event) for (const item of list(event[field])) add(object(item)[key], role);
  }
  if ("parentID" in event) add(event.parentID, PARENT);
  if ("transformationID" in event) add(event.transformationID, DOCUMENT);
  for (const field of ["readPoint", "bizLocation"]) {
    if (field in event) add(object(event[field]).id, PLACE);
  }
  if ("certificationInfo" in event) {
    const certificates = event.certificationInfo;
    for (const item of typeof certificates === "string" ? [certificates] : list(certificates)) add(item, DOCUMENT);
  }
  for (const element of list(get(event, "sensorElementList", []))) {
    const reports = list(get(object(element), "sensorReport", []));
    for (const part of [get(element, "sensorMetadata", {}), ...reports]) {
      if ("deviceID" in object(part)) add(part.deviceID, DEVICE);
    }
  }
  for (const item of list(get(object(get(event, "errorDeclaration", {})), "correctiveEventIDs", []))) {
    add(item, REFERENCE);
  }
  for (const key of Object.keys(event)) {
    if (key === "ilmd" || (key.includes(":") && !NOT_A_REFERENCE.has(key))) {
      for (const identifier of references(event[key])) add(identifier, REFERENCE);
    }
  }
  return found;
}

/**
 * The positions of all events that can be reached from the subject, asking nothing but these events.
 * @param {string} subject
 * @param {Event[]} events  In order of log index.
 * @returns {Set<number>}
 */
export function reach(subject, events) {
  const named = events.map(names);
  const index = indexOf(events, named);
  /** @type {Set<number>} */
  const reached = new Set();
  /** @type {Set<string>} */
  const asked = new Set();
  /** @type {Set<string>} */
  const followed = new Set();
  let round = [...aboutSubject(subject)];
  while (round.length > 0) {
    /** @type {Map<string, Query>} */
    const following = new Map();
    for (const query of round) {
      asked.add(keyOf(query));
      for (const position of answers(query, events, index)) {
        reached.add(position);
        // Where an event leads depends on these three alone; a file may come to one by a thousand names.
        const way = `${position} ${query.stance} ${named[position].get(query.identifier) ?? 0}`;
        if (followed.has(way)) continue;
        followed.add(way);
        for (const next of nextFrom(query, events[position], named[position])) following.set(keyOf(next), next);
      }
    }
    round = [...following].filter(([key]) => !asked.has(key)).map(([, query]) => query);
  }
  return reached;
}

/**
 * @typedef {{ byName: Map<string, [number, number][]>, byEvent: Map<string, number[]> }} Index
 * @param {Event[]} events
 * @param {Map<string, number>[]} named
 * @returns {Index}
 */
function indexOf(events, named) {
  /** @type {Index} */
  const index = { byName: new Map(), byEvent: new Map() };
  events.forEach((event, position) => {
    push(index.byEvent, event.eventID, position);
    for (const [identifier, roles] of named[position]) {
      push(index.byName, identifier, /** @type {[number, number]} */ ([position, roles]));
    }
  });
  return index;
}

/**
 * @template T
 * @param {Map<string, T[]>} map
 * @param {string} key
 * @param {T} value
 */
function push(map, key, value) {
  const held = map.get(key);
  if (held) held.push(value);
  else map.set(key, [value]);
}

/**
 * @param {Query} query
 * @param {Event[]} events
 * @param {Index} index
 * @returns {number[]}
 */
function answers(query, events, index) {
  if (query.stance === "event") return index.byEvent.get(query.identifier) ?? [];
  const hits = [];
  for (const [position, roles] of index.byName.get(query.identifier) ?? []) {
    const event = events[position];
    const sentence = typeof event["gy:sentence"] === "string" ? event["gy:sentence"] : "";
    if (
      (roles & query.roles) !== 0 &&
      (query.sentences === undefined || query.sentences.includes(sentence)) &&
      !(query.without ?? []).includes(sentence) &&
      (query.since ?? "") <= event.eventTime &&
      event.eventTime <= (query.until ?? "~")
    ) {
      hits.push(position);
    }
  }
  if (query.newest === undefined) return hits;
  hits.sort((a, b) => compare(events[b].eventTime, events[a].eventTime) || b - a);
  return hits.slice(0, query.newest);
}

/**
 * @param {string} subject
 * @returns {Generator<Query>}
 */
function* aboutSubject(subject) {
  yield { identifier: subject, stance: "subject", roles: ANY, without: READINGS };
  yield { identifier: subject, stance: "subject", roles: ANY, sentences: READINGS, newest: NEWEST_READINGS };
}

/**
 * @param {string} identifier
 * @returns {Generator<Query>}
 */
function* behind(identifier) {
  yield { identifier, stance: "behind", roles: OBJECT | PARENT | OUTPUT };
  yield { identifier, stance: "behind", roles: CHILD, sentences: ["crated/1"] };
}

/**
 * @param {string} identifier
 * @returns {Query}
 */
function ahead(identifier) {
  return { identifier, stance: "ahead", roles: OBJECT | PARENT | CHILD | INPUT };
}

/**
 * @param {string} identifier
 * @param {string} pickedAt
 * @returns {Generator<Query>}
 */
function* plot(identifier, pickedAt) {
  const moment = Date.parse(pickedAt);
  demand(
    !Number.isNaN(moment) && new Date(moment).toISOString() === pickedAt,
    `${JSON.stringify(pickedAt)} is not a time`,
  );
  yield { identifier, stance: "plot", roles: PLACE | PARENT, sentences: OF_PLOT, until: pickedAt };
  yield {
    identifier,
    stance: "plot",
    roles: PLACE,
    sentences: READINGS,
    since: new Date(moment - 48 * HOUR_MS).toISOString(),
    until: new Date(moment + HOUR_MS).toISOString(),
  };
}

/**
 * Where one event leads, depending on why we came to it. The numbers are those of format.md.
 * @param {Query} query
 * @param {Event} event
 * @param {Map<string, number>} named
 * @returns {Generator<Query>}
 */
function* nextFrom(query, event, named) {
  const { stance, identifier } = query;
  const role = named.get(identifier) ?? 0;
  const isAdding = event.action === "ADD";
  if (stance === "subject" || stance === "behind") {
    // 1
    if (role & OUTPUT) for (const other of inRole(named, INPUT)) yield* behind(other);
    if (role & PARENT && event.type === "AggregationEvent" && isAdding) {
      for (const other of inRole(named, CHILD)) yield* behind(other);
    }
    if (role & OBJECT && event.type === "ObjectEvent" && isAdding) yield* origins(event);
  }
  if (stance === "subject" || stance === "ahead") {
    // 2
    if (role & CHILD && event.type === "AggregationEvent") {
      for (const other of inRole(named, PARENT)) yield ahead(other);
    }
    if (role & INPUT) for (const other of inRole(named, OUTPUT)) yield ahead(other);
  }
  if (stance === "subject" || stance === "behind" || stance === "document") {
    // 3
    for (const reference of get(event, "bizTransactionList", [])) {
      const sentences = DEFINING.get(reference.type);
      if (sentences) yield { identifier: reference.bizTransaction, stance: "document", roles: DOCUMENT, sentences };
    }
  }
  if (stance !== "device" && stance !== "document") {
    // 4
    for (const [other, roles] of named) {
      if (roles & DEVICE || other.includes("/8004/")) {
        yield { identifier: other, stance: "device", roles: CHILD, sentences: ["device_enrolled/1"] };
      }
    }
  }
  if (stance === "subject" || stance === "behind" || stance === "ahead") {
    // 5
    for (const other of inRole(named, REFERENCE)) {
      if (other.startsWith("urn:uuid:")) yield { identifier: other, stance: "event", roles: ANY };
    }
  }
}

/**
 * Where a lot or pack that came into the world with this event says it is from.
 * @param {Event} event
 * @returns {Generator<Query>}
 */
function* origins(event) {
  const ilmd = object(get(event, "ilmd", {}));
  if (typeof ilmd["gy:gradedLot"] === "string") yield* behind(ilmd["gy:gradedLot"]);
  if (typeof ilmd["gy:plot"] === "string") yield* plot(ilmd["gy:plot"], event.eventTime);
}

/**
 * @param {Map<string, number>} named
 * @param {number} role
 * @returns {string[]}
 */
function inRole(named, role) {
  return [...named].filter(([, roles]) => roles & role).map(([identifier]) => identifier);
}

/**
 * @param {unknown} value
 * @returns {Generator<string>}
 */
function* references(value) {
  if (typeof value === "string") {
    if (/^(https?:\/\/|urn:uuid:)/.test(value)) yield value;
  } else if (Array.isArray(value)) {
    for (const item of value) yield* references(item);
  } else if (value !== null && typeof value === "object") {
    for (const item of Object.values(value)) yield* references(item);
  }
}

/** @param {Query} query */
function keyOf(query) {
  const { identifier, stance, roles, sentences, without, since, until, newest } = query;
  return JSON.stringify([identifier, stance, roles, sentences, without, since, until, newest]);
}

/**
 * @param {unknown} value
 * @returns {any[]}
 */
function list(value) {
  if (!Array.isArray(value)) throw new VerificationError("an event holds something else where a list belongs");
  return value;
}

/**
 * @param {unknown} value
 * @returns {Event}
 */
function object(value) {
  demand(
    value !== null && typeof value === "object" && !Array.isArray(value),
    "an event holds something else where an object belongs",
  );
  return /** @type {Event} */ (value);
}

/**
 * @param {Event} holder
 * @param {string} key
 * @param {unknown} otherwise
 * @returns {any}
 */
function get(holder, key, otherwise) {
  return key in holder ? holder[key] : otherwise;
}

/**
 * @param {string} a
 * @param {string} b
 */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
