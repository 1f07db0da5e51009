// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

import {AnchorLog} from "../src/AnchorLog.sol";
import {Test} from "./utils/Test.sol";
import {Tree} from "./utils/Tree.sol";

/// @dev Two operators who share a deployment, anchor honestly, hand their logs over, and try every other thing in
/// between. What is honest carries a valid proof and must succeed; a trick must not.
contract Operators is Test {
    uint256 public constant LOGS = 2;
    uint256 private constant MOST = 96;
    address private constant STRANGER = address(0xBAD);

    AnchorLog public immutable log;
    uint256[LOGS] public size;
    address[LOGS] public publisher;
    address[LOGS] public offered;
    uint256 public anchored;
    uint256 public handedOver;
    uint256 public tricked;

    constructor() {
        log = new AnchorLog(address(this));
        for (uint256 i = 0; i < LOGS; ++i) {
            publisher[i] = address(uint160(0xA11CE + i));
            log.openLog(logId(i), publisher[i]);
        }
    }

    function logId(uint256 i) public pure returns (bytes32) {
        return keccak256(abi.encode("log", i));
    }

    /// @dev The leaves of each log are its own, so that a head in the wrong log shows.
    function leaves(uint256 i, uint256 count) public pure returns (bytes32[] memory) {
        return Tree.leaves(count, 1 + i);
    }

    // What is honest

    function anchor(uint256 i, uint256 more) external {
        i = bound(i, 0, LOGS - 1);
        if (size[i] == MOST) return;
        uint256 next = bound(more, size[i] + 1, size[i] + 9 > MOST ? MOST : size[i] + 9);
        bytes32[] memory d = leaves(i, next);
        bytes32[] memory proof = size[i] == 0 ? new bytes32[](0) : Tree.consistencyProof(d, size[i], next);
        bytes32 root = Tree.root(d, 0, next);
        vm.prank(publisher[i]);
        log.anchor(logId(i), uint64(next), root, proof);
        size[i] = next;
        ++anchored;
        bytes32[] memory path = Tree.inclusionProof(d, more % next, next);
        assertTrue(log.isIncluded(logId(i), uint64(more % next), d[more % next], path), "a leaf is not found");
    }

    function offer(uint256 i, uint160 successor) external {
        i = bound(i, 0, LOGS - 1);
        vm.prank(publisher[i]);
        log.offerPublisher(logId(i), address(successor));
        offered[i] = address(successor);
    }

    function accept(uint256 i) external {
        i = bound(i, 0, LOGS - 1);
        if (offered[i] == address(0)) return;
        vm.prank(offered[i]);
        log.acceptPublisher(logId(i));
        (publisher[i], offered[i]) = (offered[i], address(0));
        ++handedOver;
    }

    // What is not

    /// @dev Another history that shares the first leaves, with a proof that is honest about that history.
    function fork(uint256 i, uint256 more, uint256 shared) external {
        i = bound(i, 0, LOGS - 1);
        if (size[i] == 0) return;
        uint256 next = bound(more, size[i] + 1, size[i] + 9);
        shared = bound(shared, 0, size[i] - 1);
        bytes32[] memory d = leaves(i, next);
        bytes32[] memory other = Tree.leaves(next, 7);
        for (uint256 n = shared; n < next; ++n) {
            d[n] = other[n];
        }
        attempt(publisher[i], i, next, Tree.root(d, 0, next), Tree.consistencyProof(d, size[i], next));
    }

    function truncate(uint256 i, uint256 to) external {
        i = bound(i, 0, LOGS - 1);
        if (size[i] < 2) return;
        to = bound(to, 1, size[i] - 1);
        attempt(publisher[i], i, to, Tree.root(leaves(i, to), 0, to), new bytes32[](0));
    }

    function repeat(uint256 i) external {
        i = bound(i, 0, LOGS - 1);
        if (size[i] == 0) return;
        attempt(publisher[i], i, size[i], Tree.root(leaves(i, size[i]), 0, size[i]), new bytes32[](0));
    }

    /// @dev A true extension, by everybody who may not send it: a stranger, the registrar, the other log's publisher,
    /// and a successor who has not accepted.
    function trespass(uint256 i, uint256 more, uint256 who) external {
        i = bound(i, 0, LOGS - 1);
        address[4] memory others = [STRANGER, address(this), publisher[(i + 1) % LOGS], offered[i]];
        address caller = others[bound(who, 0, 3)];
        if (caller == publisher[i]) return;
        uint256 next = size[i] + bound(more, 1, 9);
        bytes32[] memory d = leaves(i, next);
        bytes32[] memory proof = size[i] == 0 ? new bytes32[](0) : Tree.consistencyProof(d, size[i], next);
        attempt(caller, i, next, Tree.root(d, 0, next), proof);
    }

    function seize(uint256 i, uint160 caller) external {
        i = bound(i, 0, LOGS - 1);
        if (address(caller) != offered[i]) {
            vm.prank(address(caller));
            try log.acceptPublisher(logId(i)) {
                ++tricked;
            } catch {}
        }
        try log.openLog(logId(i), STRANGER) {
            ++tricked;
        } catch {}
    }

    function attempt(address caller, uint256 i, uint256 to, bytes32 root, bytes32[] memory proof) private {
        vm.prank(caller);
        try log.anchor(logId(i), uint64(to), root, proof) {
            ++tricked;
        } catch {}
    }
}

contract AnchorLogInvariantTest is Test {
    Operators private operators;

    function setUp() public {
        operators = new Operators();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(operators);
    }

    function invariant_everyHeadIsItsLogsHonestOne() public view {
        for (uint256 i = 0; i < operators.LOGS(); ++i) {
            (uint64 size, bytes32 root,) = operators.log().head(operators.logId(i));
            assertEq(size, operators.size(i));
            if (size > 0) assertEq(root, Tree.root(operators.leaves(i, size), 0, size));
        }
    }

    function invariant_thePublisherChangesOnlyByOfferAndAcceptance() public view {
        for (uint256 i = 0; i < operators.LOGS(); ++i) {
            (address publisher, address successor) = operators.log().publisherOf(operators.logId(i));
            assertEq(publisher, operators.publisher(i));
            assertEq(successor, operators.offered(i));
        }
    }

    function invariant_noTrickWorks() public view {
        assertEq(operators.tricked(), 0);
    }

    /// @dev A run in which nothing was anchored would show nothing.
    function afterInvariant() public view {
        assertTrue(operators.anchored() > 0, "no anchor succeeded in this run");
    }
}
