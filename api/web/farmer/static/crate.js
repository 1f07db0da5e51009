// @ts-check
/** Crate codes as they are scanned, spoken and typed: `C-0417`, `417`, a GRAI, a GS1 Digital Link of one. */

/**
 * Return the crate as the server takes it, or null where the text names none.
 * @param {string} text
 * @returns {{crate: string, code: string} | null}
 */
export function readCrate(text) {
  const clean = text.normalize("NFKC").trim();
  const typed = /^(?:C-?)?(\d{1,6})$/i.exec(clean);
  if (typed) {
    const code = `C-${typed[1].replace(/^0+(?=\d{5})/, "").padStart(4, "0")}`;
    return { crate: code, code };
  }
  const grai = /(?:^|\/|\()8003(?:\/|\))(0\d{13}[^/?#]{1,16})(?:[?#].*)?$/.exec(clean);
  if (!grai) return null;
  let value = grai[1];
  try {
    value = decodeURIComponent(value);
  } catch {
    return null;
  }
  if (!checks(value.slice(1, 14))) return null;
  return {
    crate: `https://id.gs1.org/8003/${encodeURIComponent(value)}`,
    code: value.slice(14).replace(/^([A-Z]{1,4})-?(\d+)$/i, "$1-$2"),
  };
}

/** @param {string} digits  13 digits, the last of which checks the others (GS1 General Specifications 7.9) */
function checks(digits) {
  let sum = 0;
  for (let i = 0; i < 12; i++) sum += Number(digits[i]) * (i % 2 === 0 ? 1 : 3);
  return (10 - (sum % 10)) % 10 === Number(digits[12]);
}
