// @ts-check
/** Escaped HTML, and a patch that changes only what differs, so that focus and the camera survive. */

class Markup {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
  toString() {
    return this.text;
  }
}

const ESCAPES = /** @type {Record<string, string>} */ ({
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
});

/**
 * @param {unknown} value
 * @returns {string}
 */
function piece(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(piece).join("");
  if (value === null || value === undefined || value === false) return "";
  return String(value).replace(/[&<>"']/g, (c) => ESCAPES[c]);
}

/**
 * Return markup with every value escaped; arrays are joined, null and false are nothing.
 * @param {TemplateStringsArray} strings
 * @param {...unknown} values
 */
export function html(strings, ...values) {
  let text = strings[0];
  values.forEach((value, i) => {
    text += piece(value) + strings[i + 1];
  });
  return new Markup(text);
}

/**
 * Make the children of an element be what the markup says. Elements with the same `data-key` are kept for
 * one another; the inside of an element with `data-keep` is left alone, and so are the attributes that
 * `data-own` names (`open` of a drawer the reader opened).
 * @param {Element} root
 * @param {Markup | string} markup
 */
export function patch(root, markup) {
  const template = document.createElement("template");
  template.innerHTML = String(markup);
  patchChildren(root, template.content);
}

/**
 * @param {Node} from
 * @param {Node} to
 */
function patchChildren(from, to) {
  const wanted = [...to.childNodes];
  /** @type {Map<string, Element>} */
  const keyed = new Map();
  for (const child of from.childNodes) {
    if (child instanceof Element && child.hasAttribute("data-key"))
      keyed.set(child.getAttribute("data-key") ?? "", child);
  }
  let at = from.firstChild;
  for (const node of wanted) {
    const key = node instanceof Element ? node.getAttribute("data-key") : null;
    const match = key === null ? sameKind(at, node) : keyed.get(key);
    if (match && match !== at) from.insertBefore(match, at);
    if (match) {
      patchNode(match, node);
      at = match.nextSibling;
    } else {
      from.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    from.removeChild(at);
    at = next;
  }
}

/**
 * @param {ChildNode | null} at
 * @param {Node} node
 * @returns {ChildNode | null}
 */
function sameKind(at, node) {
  if (!at || at.nodeType !== node.nodeType || at.nodeName !== node.nodeName) return null;
  return at instanceof Element && at.hasAttribute("data-key") ? null : at;
}

/**
 * @param {Node} from
 * @param {Node} to
 */
function patchNode(from, to) {
  if (!(from instanceof Element) || !(to instanceof Element)) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  const own = (from.getAttribute("data-own") ?? "").split(" ");
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !own.includes(name)) from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !own.includes(name)) from.setAttribute(name, value);
  }
  if (!from.hasAttribute("data-keep")) patchChildren(from, to);
}
