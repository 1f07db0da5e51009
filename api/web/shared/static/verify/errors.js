/** The only error a verifier throws, whatever it is fed. */
export class VerificationError extends Error {
  /**
   * @param {string} message
   * @param {unknown} [cause]
   */
  constructor(message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "VerificationError";
  }
}

/**
 * Throws unless the claim is true.
 * @param {unknown} claim
 * @param {string} message
 * @returns {asserts claim}
 */
export function demand(claim, message) {
  if (!claim) throw new VerificationError(message);
}
