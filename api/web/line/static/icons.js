// The icons, kept in the page: one that is drawn while the line program is away must still have its shape.

import { svg } from "/web/shared/kit.js";

const SPRITE = "/web/shared/icons.svg";

/**
 * Returns an icon of the sprite.
 * @param {string} name
 * @param {16 | 20 | 24 | 32} [size]
 */
export function icon(name, size = 24) {
  const attributes = { class: size === 24 ? "ico" : `ico ico-${size}`, viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", attributes, svg("use", { href: `#icon-${name}` }));
}

/** Brings the sprite into the page; tried again until it has come. */
async function bring() {
  try {
    const answer = await fetch(SPRITE);
    if (!answer.ok) throw new Error(String(answer.status));
    const sprite = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
    for (const symbol of sprite.querySelectorAll("symbol")) symbol.id = `icon-${symbol.id}`;
    sprite.setAttribute("class", "sprite");
    sprite.setAttribute("aria-hidden", "true");
    document.body.append(document.importNode(sprite, true));
  } catch {
    setTimeout(bring, 2000);
  }
}

bring();
