// The verifier, for whoever takes it along. Nothing is fetched; what it needs is beside it. A page imports the parts.
export { chainQuestions, readChain } from "./chain.js";
export { codeQuestion, isAnchorLog } from "./code.js";
export { VerificationError } from "./errors.js";
export { PolicyError, parsePolicy } from "./policy.js";
export { parseProof, verify } from "./proof.js";
export { isTlogProof, verifyEntry } from "./tlog_proof.js";
