// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

import {AnchorLog} from "../src/AnchorLog.sol";
import {Test} from "./utils/Test.sol";
import {Tree} from "./utils/Tree.sol";

/// @dev An operator who anchors honestly, and tries every other thing in between.
contract Operator is Test {
    bytes32 public constant LOG = keccak256("guoyuan.example/log");
    uint256 private constant MOST = 96;

    AnchorLog public immutable log;
    uint256 public size;
    uint256 public anchored;
    uint256 public tricked;

    constructor() {
        log = new AnchorLog(address(this));
        log.openLog(LOG, address(this));
    }

    function anchor(uint256 more) external {
        if (size == MOST) return;
        uint256 next = bound(more, size + 1, size + 9 > MOST ? MOST : size + 9);
        bytes32[] memory d = Tree.leaves(next, 1);
        bytes32[] memory proof = size == 0 ? new bytes32[](0) : Tree.consistencyProof(d, size, next);
        log.anchor(LOG, uint64(next), Tree.root(d, 0, next), proof);
        size = next;
        ++anchored;
    }

    /// @dev Another history that shares the first leaves, with a proof that is honest about that history.
    function fork(uint256 more, uint256 shared) external {
        if (size == 0) return;
        uint256 next = bound(more, size + 1, size + 9);
        shared = bound(shared, 0, size - 1);
        bytes32[] memory d = Tree.leaves(next, 1);
        bytes32[] memory other = Tree.leaves(next, 2);
        for (uint256 i = shared; i < next; ++i) {
            d[i] = other[i];
        }
        attempt(next, Tree.root(d, 0, next), Tree.consistencyProof(d, size, next));
    }

    function truncate(uint256 to) external {
        if (size < 2) return;
        to = bound(to, 1, size - 1);
        attempt(to, Tree.root(Tree.leaves(to, 1), 0, to), new bytes32[](0));
    }

    function repeat() external {
        if (size > 0) attempt(size, Tree.root(Tree.leaves(size, 1), 0, size), new bytes32[](0));
    }

    function attempt(uint256 to, bytes32 root, bytes32[] memory proof) private {
        try log.anchor(LOG, uint64(to), root, proof) {
            ++tricked;
        } catch {}
    }
}

contract AnchorLogInvariantTest is Test {
    Operator private operator;

    function setUp() public {
        operator = new Operator();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(operator);
    }

    function invariant_theHeadIsTheHonestOne() public view {
        (uint64 size, bytes32 root,) = operator.log().head(operator.LOG());
        assertEq(size, operator.size());
        if (size > 0) assertEq(root, Tree.root(Tree.leaves(size, 1), 0, size));
    }

    function invariant_noTrickWorks() public view {
        assertEq(operator.tricked(), 0);
    }
}
