// The verifier that a visitor's own browser runs. Nothing is fetched; what it needs is beside it.
export { chainQuestions, readChain } from "./chain.js";
export { VerificationError } from "./errors.js";
export { parseProof, verify } from "./proof.js";
