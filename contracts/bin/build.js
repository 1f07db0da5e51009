#!/usr/bin/env node
// Compiles src/ into abi/AnchorLog.json. With --check: compiles, compares, and changes nothing.
"use strict";

const { createHash } = require("node:crypto");
const { readFileSync, readdirSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const solc = require("solc");

const HOME = path.join(__dirname, "..");
const TARGET = path.join(HOME, "abi", "AnchorLog.json");
// The same choices stand in foundry.toml, for the tests.
const SETTINGS = {
  evmVersion: "prague",
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 10000 },
};

const OUTPUT = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"];

function sources(folder = "src") {
  return readdirSync(path.join(HOME, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    return entry.isDirectory() ? sources(name) : [[name, readFileSync(path.join(HOME, name), "utf8")]];
  });
}

function compile() {
  const files = sources().sort(([a], [b]) => (a < b ? -1 : 1));
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(files.map(([name, content]) => [name, { content }])),
    settings: {
      ...SETTINGS,
      outputSelection: { "src/AnchorLog.sol": { AnchorLog: OUTPUT } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const problems = (output.errors ?? []).map((error) => error.formattedMessage);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const { abi, evm } = output.contracts["src/AnchorLog.sol"].AnchorLog;
  return {
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    compiler: { settings: SETTINGS, version: solc.version() },
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
    // Where the constructor writes its own values into it: the registrar's address.
    immutables: Object.values(evm.deployedBytecode.immutableReferences).flat().sort((a, b) => a.start - b.start),
    sources: Object.fromEntries(files.map(([name, content]) => [name, createHash("sha256").update(content).digest("hex")])),
  };
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function main(asked) {
  if (asked.some((word) => word !== "--check")) throw new Error(`usage: build.js [--check], not ${asked.join(" ")}`);
  const built = `${JSON.stringify(sorted(compile()), null, 2)}\n`;
  if (!asked.includes("--check")) {
    writeFileSync(TARGET, built);
    console.log("abi/AnchorLog.json written");
  } else if (readFileSync(TARGET, "utf8") === built) {
    console.log("abi/AnchorLog.json is what src/ compiles to");
  } else {
    throw new Error("abi/AnchorLog.json differs from what src/ compiles to; run node contracts/bin/build.js and look at the difference");
  }
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`build.js: ${error.message}`);
  process.exitCode = 1;
}
