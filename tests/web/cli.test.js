// The Node command: exit codes, what it tells, and what it makes of doors that are away, slow, or lie.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { cases, filesOf } from "./vectors.js";

const STATIC = fileURLToPath(new URL("../../api/web/shared/static/", import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), "verify-"));
const PROOFS = filesOf(cases("proof.json"));
const TLOGS = filesOf(cases("tlog_proof.json"));
const [TRUTH, ...CHAINS] = cases("chain.json");
const ANCHORED = "a voided code: two entries, anchored";
const COSIGNED = "cosigned by two witnesses, both demanded";

/** Runs the command; gives its exit code and what it said. */
function run(...words) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(STATIC, "verify/cli.js"), ...words], { cwd: FOLDER, env: {} });
    const said = { code: -1, out: "", err: "" };
    child.stdout.on("data", (data) => (said.out += data));
    child.stderr.on("data", (data) => (said.err += data));
    child.on("close", (code) => resolve({ ...said, code }));
  });
}

/** A file in the test's folder. */
function put(name, data) {
  const path = join(FOLDER, name);
  writeFileSync(path, data);
  return path;
}

const policyOf = (files, description) => cases(files).find((c) => c.description === description).policy;

test("a proof verifies from the file alone, and says what it shows", async () => {
  const { code, out, err } = await run(put("a.json", PROOFS.get(ANCHORED)));
  assert.deepEqual([code, err], [0, ""]);
  assert.match(out, /^verifies: 2 entries about https/);
  assert.match(out, /not shown: chain not asked/);
});

test("a policy names the witnesses and when they signed", async () => {
  const policy = put("policy", policyOf("proof.json", COSIGNED));
  const { code, out } = await run(put("b.json", PROOFS.get(COSIGNED)), "--policy", policy, "--json");
  assert.equal(code, 0);
  const told = JSON.parse(out);
  assert.deepEqual(told.witnesses.map(({ name, time }) => [name, time]), [
    ["witness.example/north", "2026-05-01T01:46:40Z"],
    ["witness.example/south", "2026-05-01T01:46:40Z"],
  ]);
  assert.ok(told.shown.includes("cosigned_by_witnesses"));
  const alone = await run(put("a.json", PROOFS.get(ANCHORED)), "--policy", policy);
  assert.equal(alone.code, 1);
  assert.match(alone.err, /quorum both is not met/);
});

test("a tlog-proof is recognised, and needs a key from elsewhere", async () => {
  const [first] = cases("tlog_proof.json");
  const file = put("c.tlog-proof", TLOGS.get(first.description));
  assert.equal((await run(file)).code, 2);
  const { code, out } = await run(file, "--key", first.log_key, "--json");
  assert.deepEqual([code, JSON.parse(out).index], [0, 12]);
  assert.equal((await run(file, "--key", first.log_key, "--entry", put("entry", "another"))).code, 1);
});

for (const [description, words, code] of [
  ["no file", [], 2],
  ["two files", ["a", "b"], 2],
  ["an unknown option", ["a", "--nonsense"], 2],
  ["a chain id that is no number", ["a", "--chain-id", "x"], 2],
  ["a file that is not there", [join(FOLDER, "nowhere")], 2],
  ["a folder", [FOLDER], 2],
  ["a file without end", ["/dev/zero"], 1],
  ["nothing", ["/dev/null"], 1],
  ["a key that is none", [put("a.json", PROOFS.get(ANCHORED)), "--key", "x"], 1],
  ["a policy that is none", [put("a.json", PROOFS.get(ANCHORED)), "--policy", put("bad", "quorum x\n")], 2],
  ["another contract than expected", [put("a.json", PROOFS.get(ANCHORED)), "--contract", `0x${"11".repeat(20)}`], 1],
  ["another chain than expected", [put("a.json", PROOFS.get(ANCHORED)), "--chain-id", "1"], 1],
  ["no anchor where one is expected", [put("d.json", PROOFS.get("not anchored")), "--chain-id", "1"], 1],
  ["the contract expected", [put("a.json", PROOFS.get(ANCHORED)), "--contract", TRUTH.anchor.contract.toUpperCase().replace("0X", "0x"), "--chain-id", "31337"], 0],
]) {
  test(`${description}: exit code ${code}, one line of error`, async () => {
    const said = await run(...words);
    assert.equal(said.code, code, said.err);
    assert.equal(said.err.split("\n").length - 1, code === 0 ? 0 : 1);
  });
}

test("what a hostile file says does not steer the terminal", async () => {
  const text = new TextDecoder().decode(PROOFS.get(ANCHORED));
  const { subject } = JSON.parse(text);
  const { code, err } = await run(put("e.json", text.replace(`"subject":"${subject}"`, '"subject":"x\u009b31m\u202e\u0085"')));
  assert.equal(code, 1);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(err, /[\u0080-\u009f\u001b]/);
});

test("two folders are all it needs, wherever they lie", async () => {
  const there = join(FOLDER, "taken along");
  mkdirSync(there);
  for (const name of ["verify", "vendor", "package.json"]) cpSync(join(STATIC, name), join(there, name), { recursive: true });
  const child = spawn(process.execPath, [join(there, "verify/cli.js"), put("a.json", PROOFS.get(ANCHORED))], { env: {}, cwd: "/" });
  assert.equal(await new Promise((resolve) => child.on("close", resolve)), 0);
  assert.doesNotMatch(readFileSync(join(STATIC, "verify/cli.js"), "utf8"), /from "(?!\.\/|node:)/);
});

// --- doors ------------------------------------------------------------------------------------------

/** Serves JSON-RPC as a function of the method says, while some work is done. */
async function door(speak, work) {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => speak(JSON.parse(body), response));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await work(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const rootOf = (anchor) => Buffer.from(anchor.root, "base64").toString("hex");
const ANCHOR = JSON.parse(new TextDecoder().decode(PROOFS.get(ANCHORED))).anchor;

/** A door that gives a vector's answers, made to fit the file's own anchor. */
function answering(c) {
  const answers = { ...TRUTH.answers, ...c.changes };
  for (const method of c.without ?? []) delete answers[method];
  const ours = JSON.parse(JSON.stringify(answers).replaceAll(rootOf(TRUTH.anchor), rootOf(ANCHOR)));
  return ({ id, method }, response) => response.end(JSON.stringify({ jsonrpc: "2.0", id, result: ours[method] }));
}

for (const [description, code] of [
  ["the newest head is the anchored one", 0],
  ["a newer head, and the event of ours", 0],
  ["the newest head is smaller", 1],
  ["the newest head of that size has another root", 1],
  ["no contract stands there", 1],
  ["another chain", 2],
  ["a contract that is not ours, and says what we like", 2],
  ["an event in another transaction", 3],
  ["no answer to eth_getLogs", 3],
]) {
  test(`a chain where ${description}: exit code ${code}`, async () => {
    const c = [TRUTH, ...CHAINS].find((item) => item.description === description);
    const said = await door(answering(c), (url) => run(put("a.json", PROOFS.get(ANCHORED)), "--rpc", url, "--json"));
    assert.equal(said.code, code, said.err);
    if (code === 0) assert.ok(JSON.parse(said.out).shown.includes("anchored_on_the_chain"));
  });
}

for (const [description, speak] of [
  ["says nothing of JSON", (_, response) => response.end("<html>")],
  ["says null", (_, response) => response.end("null")],
  ["says too much", (_, response) => response.end(" ".repeat(2 ** 21))],
  ["sends us elsewhere", (_, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end()],
  ["hangs up", (_, response) => response.destroy()],
]) {
  test(`a door that ${description} cannot be asked: exit code 3`, async () => {
    const said = await door(speak, (url) => run(put("a.json", PROOFS.get(ANCHORED)), "--rpc", url));
    assert.equal(said.code, 3, said.err);
    assert.equal(said.err.split("\n").length, 2);
  });
}

test("a door that is away: exit code 3", async () => {
  assert.equal((await run(put("a.json", PROOFS.get(ANCHORED)), "--rpc", "http://127.0.0.1:1")).code, 3);
  assert.equal((await run(put("a.json", PROOFS.get(ANCHORED)), "--rpc", "nonsense")).code, 3);
});

test("a file that does not hold asks nobody", async () => {
  const bad = put("f.json", PROOFS.get("one character of an entry changed"));
  let asked = 0;
  const said = await door((_, response) => (asked++, response.end("{}")), (url) => run(bad, "--rpc", url));
  assert.deepEqual([said.code, asked], [1, 0]);
});
