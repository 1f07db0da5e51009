// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

import {AnchorLog} from "../src/AnchorLog.sol";
import {IAnchorLog} from "../src/interfaces/IAnchorLog.sol";
import {Test} from "./utils/Test.sol";
import {Tree} from "./utils/Tree.sol";

contract AnchorLogTest is Test {
    bytes32 private constant LOG = keccak256("guoyuan.example/log");
    bytes32 private constant OTHER_LOG = keccak256("guoyuan.example/other");
    address private constant PUBLISHER = address(0xA11CE);
    address private constant SUCCESSOR = address(0xB0B);
    address private constant STRANGER = address(0xBAD);
    uint256 private constant LEAVES = 48;

    AnchorLog private log;
    bytes32[] private none;

    function setUp() public {
        log = new AnchorLog(address(this));
        log.openLog(LOG, PUBLISHER);
    }

    // Opening a log

    function test_openLog_namesThePublisher() public {
        vm.expectEmit(address(log));
        emit IAnchorLog.LogOpened(OTHER_LOG, SUCCESSOR);
        log.openLog(OTHER_LOG, SUCCESSOR);
        (address publisher, address successor) = log.publisherOf(OTHER_LOG);
        assertEq(publisher, SUCCESSOR);
        assertEq(successor, address(0));
        assertEq(log.registrar(), address(this));
    }

    function test_openLog_revertsForAnybodyButTheRegistrar() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotRegistrar.selector, STRANGER));
        log.openLog(OTHER_LOG, STRANGER);
    }

    function test_openLog_revertsWhenOpen() public {
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.LogAlreadyOpen.selector, LOG));
        log.openLog(LOG, STRANGER);
    }

    function test_openLog_revertsWithoutPublisher() public {
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.PublisherMissing.selector));
        log.openLog(OTHER_LOG, address(0));
    }

    // Anchoring

    function test_anchor_keepsTheHeadAndSaysSo() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        vm.roll(77);
        vm.expectEmit(address(log));
        emit IAnchorLog.HeadAnchored(LOG, 5, Tree.root(d, 0, 5), 0);
        anchor(d, 0, 5);
        vm.expectEmit(address(log));
        emit IAnchorLog.HeadAnchored(LOG, 13, Tree.root(d, 0, 13), 5);
        anchor(d, 5, 13);
        assertHead(13, Tree.root(d, 0, 13), 77);
    }

    function test_anchor_acceptsEveryExtensionOfEverySmallTree() public {
        bytes32[] memory d = Tree.leaves(20, 1);
        for (uint256 first = 1; first < d.length; ++first) {
            for (uint256 second = first + 1; second <= d.length; ++second) {
                log = new AnchorLog(address(this));
                log.openLog(LOG, PUBLISHER);
                anchor(d, 0, first);
                anchor(d, first, second);
            }
        }
    }

    function test_anchor_keepsLogsApart() public {
        log.openLog(OTHER_LOG, SUCCESSOR);
        anchor(Tree.leaves(LEAVES, 1), 0, 7);
        (uint64 size,,) = log.head(OTHER_LOG);
        assertEq(size, 0);
        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotPublisher.selector, PUBLISHER));
        log.anchor(OTHER_LOG, 9, bytes32(uint256(9)), none);
    }

    function test_anchor_revertsForAnybodyButThePublisher() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotPublisher.selector, STRANGER));
        log.anchor(LOG, 1, bytes32(uint256(1)), none);
    }

    function test_anchor_revertsInALogThatIsNotOpen() public {
        vm.prank(PUBLISHER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotPublisher.selector, PUBLISHER));
        log.anchor(OTHER_LOG, 1, bytes32(uint256(1)), none);
    }

    function test_anchor_revertsWhenSmaller() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        anchor(d, 0, 8);
        expectRefused(7, Tree.root(d, 0, 7), none, abi.encodeWithSelector(IAnchorLog.HeadNotNewer.selector, 7, 8));
    }

    function test_anchor_revertsWhenSentTwice() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        anchor(d, 0, 8);
        expectRefused(8, Tree.root(d, 0, 8), none, abi.encodeWithSelector(IAnchorLog.HeadNotNewer.selector, 8, 8));
    }

    function test_anchor_revertsWhenEmpty() public {
        expectRefused(0, sha256(""), none, abi.encodeWithSelector(IAnchorLog.HeadNotNewer.selector, 0, 0));
    }

    function test_anchor_revertsWhenTheFirstHeadBringsAProof() public {
        expectInconsistent(8, bytes32(uint256(8)), new bytes32[](1));
    }

    function test_anchor_revertsWithoutProof() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        anchor(d, 0, 8);
        expectInconsistent(9, Tree.root(d, 0, 9), none);
    }

    /// @dev A valid proof, but for a head that another process replaced meanwhile: the contract compares and sets.
    function test_anchor_revertsWhenTheProofStartsFromAnOlderHead() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        anchor(d, 0, 11);
        anchor(d, 11, 19);
        expectInconsistent(29, Tree.root(d, 0, 29), Tree.consistencyProof(d, 11, 29));
    }

    function testFuzz_anchor_acceptsEveryValidExtension(uint256 first, uint256 second, uint256 seed) public {
        second = bound(second, 2, LEAVES);
        first = bound(first, 1, second - 1);
        bytes32[] memory d = Tree.leaves(second, seed);
        anchor(d, 0, first);
        anchor(d, first, second);
        assertHead(uint64(second), Tree.root(d, 0, second), uint32(block.number));
    }

    /// @dev Damages one input in turn; only the undamaged case may pass.
    function testFuzz_anchor_refusesEveryDamage(uint256 first, uint256 second, uint256 damage, uint256 bit) public {
        second = bound(second, 2, LEAVES);
        first = bound(first, 1, second - 1);
        bytes32[] memory d = Tree.leaves(second, 1);
        anchor(d, 0, first);
        bytes32[] memory proof = Tree.consistencyProof(d, first, second);
        bytes32 root = Tree.root(d, 0, second);
        bytes32 flip = bytes32(uint256(1) << (bit % 256));
        damage = bound(damage, 0, proof.length + 3);
        if (damage < proof.length) {
            proof[damage] ^= flip;
        } else if (damage == proof.length) {
            root ^= flip;
        } else if (damage == proof.length + 1) {
            proof = lengthened(proof, flip);
        } else if (damage == proof.length + 2) {
            proof = shortened(proof);
        } else {
            d = Tree.leaves(second, 2); // another history of the same length
            root = Tree.root(d, 0, second);
            proof = Tree.consistencyProof(d, first, second);
        }
        expectInconsistent(uint64(second), root, proof);
    }

    function testFuzz_anchor_refusesWhatIsNoProof(uint64 size, bytes32 root, bytes32[] calldata proof) public {
        anchor(Tree.leaves(LEAVES, 1), 0, 21);
        vm.assume(size > 21);
        expectInconsistent(size, root, proof);
    }

    /// @dev The same proof under another size would let a publisher lie about how many leaves there are.
    function testFuzz_anchor_refusesAnotherSize(uint256 first, uint256 second, uint64 claimed) public {
        second = bound(second, 2, LEAVES);
        first = bound(first, 1, second - 1);
        bytes32[] memory d = Tree.leaves(second, 1);
        anchor(d, 0, first);
        bytes32[] memory proof = Tree.consistencyProof(d, first, second);
        vm.assume(claimed > first && levels(claimed - 1, first - 1) != levels(second - 1, first - 1));
        expectInconsistent(claimed, Tree.root(d, 0, second), proof);
    }

    // Inclusion

    function testFuzz_isIncluded_onlyWhereTheLeafStands(uint256 size, uint256 index, uint256 asked, uint256 bit)
        public
    {
        size = bound(size, 1, LEAVES);
        index = bound(index, 0, size - 1);
        bytes32[] memory d = Tree.leaves(size, 1);
        anchor(d, 0, size);
        bytes32[] memory proof = Tree.inclusionProof(d, index, size);
        assertTrue(log.isIncluded(LOG, uint64(index), d[index], proof), "a leaf is not found where it stands");
        bytes32 changed = d[index] ^ bytes32(uint256(1) << (bit % 256));
        assertTrue(!log.isIncluded(LOG, uint64(index), changed, proof), "a changed leaf is found");
        asked = bound(asked, 0, size + 3);
        vm.assume(asked != index);
        assertTrue(!log.isIncluded(LOG, uint64(asked), d[index], proof), "a leaf is found where it does not stand");
        assertTrue(!log.isIncluded(LOG, uint64(index), d[index], lengthened(proof, 0)), "a longer proof passes");
        if (proof.length > 0) {
            assertTrue(!log.isIncluded(LOG, uint64(index), d[index], shortened(proof)), "a shorter proof passes");
        }
    }

    function test_isIncluded_isFalseInAnEmptyLog() public view {
        assertTrue(!log.isIncluded(LOG, 0, bytes32(0), none), "an empty log holds a leaf");
    }

    // The publisher's two steps

    function test_offerPublisher_changesNothingYet() public {
        vm.prank(PUBLISHER);
        vm.expectEmit(address(log));
        emit IAnchorLog.PublisherOffered(LOG, PUBLISHER, SUCCESSOR);
        log.offerPublisher(LOG, SUCCESSOR);
        (address publisher, address successor) = log.publisherOf(LOG);
        assertEq(publisher, PUBLISHER);
        assertEq(successor, SUCCESSOR);
    }

    function test_offerPublisher_revertsForAnybodyButThePublisher() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotPublisher.selector, STRANGER));
        log.offerPublisher(LOG, STRANGER);
    }

    function test_acceptPublisher_handsOverAndKeepsTheHead() public {
        bytes32[] memory d = Tree.leaves(LEAVES, 1);
        anchor(d, 0, 9);
        vm.prank(PUBLISHER);
        log.offerPublisher(LOG, SUCCESSOR);
        vm.prank(SUCCESSOR);
        vm.expectEmit(address(log));
        emit IAnchorLog.PublisherChanged(LOG, PUBLISHER, SUCCESSOR);
        log.acceptPublisher(LOG);

        expectRefused(
            12,
            Tree.root(d, 0, 12),
            Tree.consistencyProof(d, 9, 12),
            abi.encodeWithSelector(IAnchorLog.NotPublisher.selector, PUBLISHER)
        );
        bytes32[] memory proof = Tree.consistencyProof(d, 9, 12);
        bytes32 root = Tree.root(d, 0, 12);
        vm.prank(SUCCESSOR);
        log.anchor(LOG, 12, root, proof);
        assertHead(12, root, uint32(block.number));
    }

    function test_acceptPublisher_revertsForAnybodyButTheSuccessor() public {
        vm.prank(PUBLISHER);
        log.offerPublisher(LOG, SUCCESSOR);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotSuccessor.selector, STRANGER));
        log.acceptPublisher(LOG);
    }

    function test_acceptPublisher_revertsWhenTakenBackOrUsed() public {
        vm.prank(PUBLISHER);
        log.offerPublisher(LOG, SUCCESSOR);
        vm.prank(PUBLISHER);
        log.offerPublisher(LOG, address(0));
        vm.prank(SUCCESSOR);
        vm.expectRevert(abi.encodeWithSelector(IAnchorLog.NotSuccessor.selector, SUCCESSOR));
        log.acceptPublisher(LOG);
    }

    // What these tests share

    function anchor(bytes32[] memory d, uint256 from, uint256 to) private {
        bytes32[] memory proof = from == 0 ? none : Tree.consistencyProof(d, from, to);
        bytes32 root = Tree.root(d, 0, to);
        vm.prank(PUBLISHER);
        log.anchor(LOG, uint64(to), root, proof);
    }

    function expectInconsistent(uint64 size, bytes32 root, bytes32[] memory proof) private {
        expectRefused(size, root, proof, abi.encodeWithSelector(IAnchorLog.Inconsistent.selector));
    }

    function expectRefused(uint64 size, bytes32 root, bytes32[] memory proof, bytes memory reason) private {
        vm.prank(PUBLISHER);
        vm.expectRevert(reason);
        log.anchor(LOG, size, root, proof);
    }

    function assertHead(uint64 size, bytes32 root, uint32 blockNumber) private view {
        (uint64 heldSize, bytes32 heldRoot, uint32 heldBlock) = log.head(LOG);
        assertEq(heldSize, size);
        assertEq(heldRoot, root);
        assertEq(heldBlock, blockNumber);
    }

    /// @dev Which siblings a proof holds, level by level. RFC 9162 proofs do not tell apart sizes that agree here:
    /// what binds a size to its root is the log's signature, and that the next extension starts from both.
    function levels(uint256 sn, uint256 fn) private pure returns (bytes32 shape) {
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        while (sn > 0) {
            shape = keccak256(abi.encode(shape, fn & 1 == 1, fn == sn));
            fn >>= 1;
            sn >>= 1;
        }
    }

    function lengthened(bytes32[] memory proof, bytes32 last) private pure returns (bytes32[] memory result) {
        result = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < proof.length; ++i) {
            result[i] = proof[i];
        }
        result[proof.length] = last;
    }

    function shortened(bytes32[] memory proof) private pure returns (bytes32[] memory result) {
        result = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < result.length; ++i) {
            result[i] = proof[i];
        }
    }
}
