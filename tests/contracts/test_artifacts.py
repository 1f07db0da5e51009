"""What is committed is what the sources compile to, and what forge tests."""

import json
import subprocess
from pathlib import Path

from contracts.artifacts import anchor_log
from contracts.chain import Chain
from contracts.keys import PublisherKey
from tests.contracts.simulators import CONTRACTS, program


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=CONTRACTS, capture_output=True, text=True, check=False)


def test_the_committed_bytecode_is_what_the_sources_compile_to() -> None:
    program("solcjs")
    done = run("node", "bin/build.js", "--check")
    assert done.returncode == 0, done.stderr


def test_the_check_notices_a_changed_artifact(tmp_path: Path) -> None:
    program("solcjs")
    copy = tmp_path / "contracts"
    copy.mkdir()
    for name in ("bin", "src", "abi"):
        subprocess.run(["cp", "-r", str(CONTRACTS / name), str(copy / name)], check=True)
    (copy / "node_modules").symlink_to(CONTRACTS / "node_modules")
    artifact = copy / "abi" / "AnchorLog.json"
    artifact.write_text(artifact.read_text().replace("0x60", "0x61", 1))
    done = run("node", copy / "bin" / "build.js", "--check")
    assert done.returncode == 1
    assert "differs" in done.stderr


def test_forge_passes_with_the_gas_that_is_committed() -> None:
    done = run(program("forge"), "test")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " 0 failed, 0 skipped" in done.stdout


def test_forge_finds_the_sources_formatted_and_clean() -> None:
    assert run(program("forge"), "fmt", "--check").returncode == 0
    assert run(program("forge"), "lint").returncode == 0


def test_what_is_deployed_is_the_committed_bytecode(chain: Chain, key: PublisherKey) -> None:
    address = chain.deploy_if_absent(key)
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getCode", "params": [address]}
    code = bytes.fromhex(chain.rpc(call)["result"][2:])  # type: ignore[call-overload]  # one call, one answer
    expected = anchor_log().deployed_bytecode
    assert len(code) == len(expected)
    # The registrar is an immutable: zeros in what is committed, the publisher's address on the chain.
    registrar = bytes.fromhex(key.address[2:])
    assert code.replace(registrar, b"\0" * 20) == expected


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((CONTRACTS / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    assert all("resolved" not in entry and "integrity" in entry for entry in packages.values())


def test_forge_and_the_build_use_the_same_settings() -> None:
    settings = json.loads((CONTRACTS / "abi" / "AnchorLog.json").read_text())["compiler"]["settings"]
    profile = (CONTRACTS / "foundry.toml").read_text()
    assert f'evm_version = "{settings["evmVersion"]}"' in profile
    assert f"optimizer_runs = {settings['optimizer']['runs']}" in profile
    assert f'bytecode_hash = "{settings["metadata"]["bytecodeHash"]}"' in profile
