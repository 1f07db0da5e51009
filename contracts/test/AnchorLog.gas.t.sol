// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

import {AnchorLog} from "../src/AnchorLog.sol";
import {Test} from "./utils/Test.sol";
import {UniformTree} from "./utils/Tree.sol";

/// @dev What a publisher pays: whole transactions, snapshots in snapshots/AnchorLog.json.
contract AnchorLogGasTest is Test {
    bytes32 private constant LOG = keccak256("guoyuan.example/log");
    uint256 private constant GOAL = 60_000;

    AnchorLog private log;

    function setUp() public {
        log = new AnchorLog(address(this));
        log.openLog(LOG, address(this));
    }

    function test_gas_size() public {
        vm.snapshotValue("AnchorLog", "size in bytes", address(log).code.length);
    }

    function test_gas_firstHead() public {
        anchor(0, 1_000);
        vm.snapshotGasLastCall("AnchorLog", "first head");
    }

    function test_gas_smallLog() public {
        anchor(0, 1_000);
        anchor(1_000, 2_000);
        vm.snapshotGasLastCall("AnchorLog", "1000 onto 1000");
    }

    function test_gas_millionLeaves_onePerAnchor() public {
        anchor(0, 1_000_000);
        anchor(1_000_000, 1_000_001);
        vm.snapshotGasLastCall("AnchorLog", "1 onto 1000000");
    }

    function test_gas_millionLeaves_thousandPerAnchor() public {
        anchor(0, 1_000_000);
        anchor(1_000_000, 1_001_000);
        vm.snapshotGasLastCall("AnchorLog", "1000 onto 1000000");
    }

    function test_gas_millionLeaves_millionPerAnchor() public {
        anchor(0, 1_000_000);
        anchor(1_000_000, 2_000_000);
        vm.snapshotGasLastCall("AnchorLog", "1000000 onto 1000000");
    }

    function test_gas_powerOfTwo() public {
        anchor(0, 1 << 20);
        anchor(1 << 20, 1 << 21);
        vm.snapshotGasLastCall("AnchorLog", "2^20 onto 2^20");
    }

    /// @dev The longest proof a log of this size can need.
    function test_gas_millionLeaves_worst() public {
        anchor(0, (1 << 20) - 1);
        anchor((1 << 20) - 1, (1 << 20) + (1 << 19) + 1);
        vm.snapshotGasLastCall("AnchorLog", "longest proof at 2^20");
    }

    /// @dev By eth_call it is free; here it is what another contract would pay.
    function test_gas_inclusion_millionLeaves() public {
        anchor(0, 1_000_000);
        bytes32[] memory proof = UniformTree.inclusionProof(123_456, 1_000_000);
        assertTrue(log.isIncluded(LOG, 123_456, UniformTree.LEAF, proof), "a leaf is not found where it stands");
        vm.snapshotGasLastCall("AnchorLog", "inclusion in 1000000");
    }

    function test_gas_handingOver() public {
        anchor(0, 1_000);
        log.offerPublisher(LOG, address(0xB0B));
        vm.snapshotGasLastCall("AnchorLog", "offer to a successor");
        vm.prank(address(0xB0B));
        log.acceptPublisher(LOG);
        vm.snapshotGasLastCall("AnchorLog", "acceptance by the successor");
    }

    function testFuzz_gas_onMillionLeavesKeepsTheGoal(uint256 start, uint256 batch) public {
        start = bound(start, 900_000, 1_100_000);
        batch = bound(batch, 1, 1_000_000);
        expectWithinTheGoal(start, start + batch);
    }

    /// @dev Sizes just below a power of two make the longest proofs, with a left sibling on nearly every level.
    function testFuzz_gas_longestProofsKeepTheGoal(uint256 below, uint256 batch) public {
        uint256 start = (1 << 20) - bound(below, 1, 64);
        batch = bound(batch, 1, 1_000_000);
        expectWithinTheGoal(start, start + batch);
    }

    function expectWithinTheGoal(uint256 from, uint256 to) private {
        anchor(0, from);
        anchor(from, to);
        assertTrue(vm.lastCallGas().gasTotalUsed <= GOAL, "an anchor on a million leaves costs more than 60000 gas");
    }

    function anchor(uint256 from, uint256 to) private {
        bytes32[] memory proof = from == 0 ? new bytes32[](0) : UniformTree.consistencyProof(from, to);
        log.anchor(LOG, uint64(to), UniformTree.root(to), proof);
    }
}
