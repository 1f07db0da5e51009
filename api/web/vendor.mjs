// Writes shared/static/vendor from the locked npm packages: the same code without its comments, which are
// most of its bytes and which no phone runs. `--check` demands that what is committed is exactly that.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const FILES = {
  "noble-ed25519/index.js": "@noble/ed25519/index.js",
  "noble-hashes/_md.js": "@noble/hashes/_md.js",
  "noble-hashes/_u64.js": "@noble/hashes/_u64.js",
  "noble-hashes/sha2.js": "@noble/hashes/sha2.js",
  "noble-hashes/utils.js": "@noble/hashes/utils.js",
};
const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ESNext, removeComments: true };
const isChecking = process.argv.includes("--check");
let isWrong = false;

for (const [name, source] of Object.entries(FILES)) {
  const code = readFileSync(join(here, "node_modules", source), "utf8");
  const compilerOptions = { ...options };
  const text = ts.transpileModule(code, { compilerOptions }).outputText.replace(/\n?\/\/# sourceMappingURL=.*\n?$/, "\n");
  const path = join(here, "shared", "static", "vendor", name);
  if (!isChecking) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    console.error(`${path} is not ${source} without its comments: run npm run vendor`);
    isWrong = true;
  }
}
process.exit(isWrong ? 1 : 0);
