// Scanners that are keyboards: they type a code and press Enter, wherever the page's focus is. A code is told from
// a person's typing by its pace. What is typed into a field stays in the field.

const GAP_MS = 120;
const LEAST = 4;

/** @param {EventTarget | null} target */
const isField = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

/**
 * Calls back with every code that a scanner types outside a field.
 * @param {(code: string) => void} onScan
 */
export function onScanned(onScan) {
  let held = "";
  let last = 0;
  document.addEventListener(
    "keydown",
    (event) => {
      if (isField(event.target) || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
      const now = event.timeStamp;
      if (now - last > GAP_MS) held = "";
      if (event.key === "Enter" || event.key === "Tab") {
        if (held.length >= LEAST) {
          // Otherwise the Enter would press the button that happens to have the focus.
          event.preventDefault();
          event.stopPropagation();
          onScan(held);
        }
        held = "";
      } else if ([...event.key].length === 1) {
        if (held && event.key === " ") event.preventDefault();
        held += event.key;
        last = now;
      }
    },
    { capture: true },
  );
}
