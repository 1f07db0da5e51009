// The same curve as api/drawing.py draws, from readings this browser has verified. Coordinates are tenths, halves up.

/**
 * @typedef {{ at: number, value: number }} Reading  milliseconds since 1970
 * @typedef {{ frame: number[], step_ms: number, file: string | null, quantity: string,
 *   points: [number | null, number, number][], wanted: [number, number] | null }} Drawn
 */

const USABLE = [1, 2];

/**
 * The readings behind a curve. Returns null where an entry it needs is not verified (yet).
 * @param {Drawn} drawn
 * @param {(source: string) => any} source  the verified JSON of a leaf or file
 * @returns {Reading[] | null}
 */
export function readingsOf(drawn, source) {
  if (drawn.file !== null) {
    const file = source(drawn.file);
    if (file === undefined) return null;
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const row of file.readings) {
      if (row.quantity === drawn.quantity && USABLE.includes(row.flag)) found.set(Date.parse(row.at), row.value);
    }
    return [...found].sort(([a], [b]) => a - b).map(([at, value]) => ({ at, value }));
  }
  const readings = [];
  for (const [leaf, element, report] of drawn.points) {
    const part = source(String(leaf))?.sensorElementList?.[element];
    const measured = part?.sensorReport?.[report];
    if (measured === undefined) return null;
    const start = Date.parse(part.sensorMetadata.startTime);
    const end = Date.parse(part.sensorMetadata.endTime);
    readings.push({ at: Math.round((start + end) / 2), value: measured.meanValue ?? measured.value });
  }
  return readings;
}

/**
 * The line of a curve, and what of it lies outside the wanted range, as path text.
 * @param {Drawn} drawn
 * @param {Reading[]} readings
 */
export function paths({ frame, step_ms, wanted }, readings) {
  const [x0, x1, y0, y1, t0, t1, low, high] = frame;
  const place = (/** @type {Reading} */ { at, value }) =>
    `${tenths(x0 + ((at - t0) * (x1 - x0)) / (t1 - t0))} ${tenths(y1 - ((value - low) * (y1 - y0)) / (high - low))}`;
  const path = (/** @type {Reading[]} */ run) => {
    const points = run.map(place);
    return `M${(points.length === 1 ? [points[0], points[0]] : points).join("L")}`;
  };
  const runs = split(readings, (before, after) => after.at - before.at > step_ms * 1.5);
  const isOutside = (/** @type {Reading} */ { value }) => wanted !== null && (value < wanted[0] || value > wanted[1]);
  const over = runs.flatMap((run) =>
    split(run, (before, after) => isOutside(before) !== isOutside(after)).filter((part) => isOutside(part[0])),
  );
  return { line: runs.map(path).join(""), over: over.map(path).join("") };
}

/**
 * @param {Reading[]} readings
 * @param {(before: Reading, after: Reading) => boolean} isBreak
 * @returns {Reading[][]}
 */
function split(readings, isBreak) {
  /** @type {Reading[][]} */
  const runs = [];
  readings.forEach((reading, i) => {
    if (i === 0 || isBreak(readings[i - 1], reading)) runs.push([]);
    runs[runs.length - 1].push(reading);
  });
  return runs;
}

/** @param {number} value */
function tenths(value) {
  const whole = Math.floor(value * 10 + 0.5);
  return String(whole / 10);
}
