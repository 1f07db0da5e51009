// The photograph with what the camera saw: outlines, tier letters in their shapes, width in millimetres.

import { svg, t } from "/web/shared/kit.js";

/**
 * @param {import("./types.js").Photograph} photograph
 * @param {number | null} chosen id of the fruit to point at
 */
export function drawPicture(photograph, chosen) {
  const unit = photograph.width / 800;
  const frame = svg("svg", {
    class: "seen",
    viewBox: `0 0 ${photograph.width} ${photograph.height}`,
    role: "img",
    "aria-label": t("station.js.picture"),
  });
  frame.append(
    svg("image", { href: photograph.picture, width: photograph.width, height: photograph.height }),
    ...photograph.fruit.map((fruit) => drawFruit(fruit, unit, fruit.id === chosen)),
  );
  return frame;
}

/**
 * @param {import("./types.js").Fruit} fruit
 * @param {number} unit
 * @param {boolean} isChosen
 */
function drawFruit(fruit, unit, isChosen) {
  const xs = fruit.outline.map(([x]) => x);
  const ys = fruit.outline.map(([, y]) => y);
  const [left, right, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys)];
  const points = fruit.outline.map(([x, y]) => `${x},${y}`).join(" ");
  const group = svg("g", { class: `fruit fruit-${fruit.tier.toLowerCase()}${isChosen ? " chosen" : ""}` });
  const x = (left + right) / 2 - 25 * unit;
  const y = Math.max(top + 6 * unit, 17 * unit);
  const title = svg("title");
  title.textContent = `${fruit.number} · ${fruit.mass_g} g`;
  group.append(
    title,
    svg("polygon", { class: "outline-back", points, "stroke-width": 5 * unit }),
    svg("polygon", {
      class: "outline",
      points,
      "stroke-width": 2.2 * unit,
      "stroke-dasharray": dash(fruit.tier, unit),
    }),
    tierShape(fruit.tier, x, y, 14 * unit),
    label(String(Math.round(fruit.width_um / 1000)), x + 19 * unit, y, 23 * unit),
  );
  return group;
}

/**
 * @param {string} tier
 * @param {number} unit
 */
const dash = (tier, unit) => (tier === "doubtful" ? `${7 * unit} ${5 * unit}` : "none");

/**
 * A filled circle, B half circle, C ring; cull and doubtful are squares.
 * @param {string} tier
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
export function tierShape(tier, x, y, r) {
  const group = svg("g", { class: `mark mark-${tier.toLowerCase()}` });
  if (tier === "cull" || tier === "doubtful") {
    group.append(
      svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, rx: r * 0.4, "stroke-width": r * 0.16 }),
    );
  } else {
    group.append(svg("circle", { cx: x, cy: y, r, "stroke-width": r * 0.16 }));
    if (tier === "B") group.append(svg("path", { class: "half", d: `M${x - r} ${y}a${r} ${r} 0 0 0 ${2 * r} 0z` }));
  }
  const letter = svg("text", { x, y, "font-size": r * 1.3, dy: r * 0.46 });
  letter.textContent = tier === "cull" ? "×" : tier === "doubtful" ? "?" : tier;
  group.append(letter);
  return group;
}

/**
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {number} size
 */
function label(text, x, y, size) {
  const node = svg("text", {
    class: "millimetres",
    x,
    y,
    "font-size": size,
    dy: size * 0.35,
    "stroke-width": size * 0.2,
  });
  node.textContent = text;
  return node;
}
