// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

/// @title RFC 9162 proofs over SHA-256, with the specification's own letters
library MerkleLog {
    /// @notice Whether a leaf stands at `leafIndex` in the tree of `treeSize` leaves (RFC 9162, 2.1.3.2).
    function verifyInclusion(
        uint64 leafIndex,
        uint64 treeSize,
        bytes32 leafHash,
        bytes32[] calldata inclusionPath,
        bytes32 rootHash
    ) internal pure returns (bool) {
        if (leafIndex >= treeSize) return false;
        uint256 fn = leafIndex;
        uint256 sn = treeSize - 1;
        bytes32 r = leafHash;
        for (uint256 i = 0; i < inclusionPath.length; ++i) {
            bytes32 p = inclusionPath[i];
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                r = hashChildren(p, r);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                r = hashChildren(r, p);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && r == rootHash;
    }

    /// @notice Whether the tree `second` begins with the whole tree `first` (RFC 9162, 2.1.4.2).
    /// @dev `first` of zero and equal sizes are the caller's to decide; both are false here.
    ///
    /// The loop is in assembly because every anchor runs it some twenty times: written plainly it costs up to 4,700
    /// gas more on a log of a million leaves, and goes over the goal of 60,000. The tests hold it against the
    /// specification's recursive definition.
    function verifyConsistency(
        uint64 first,
        uint64 second,
        bytes32[] calldata consistencyPath,
        bytes32 firstHash,
        bytes32 secondHash
    ) internal view returns (bool) {
        if (first == 0 || first >= second || consistencyPath.length == 0) return false;
        uint256 fn = first - 1;
        uint256 sn = second - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        // Step 2: where `first` is a power of two, its hash is not repeated in the proof.
        uint256 skip = fn == 0 ? 0 : 1;
        bytes32 fr = fn == 0 ? firstHash : consistencyPath[0];
        bytes32 sr = fr;
        bool ran = true;
        assembly ("memory-safe") {
            // An inner node, as it is hashed: 0x01, left child, right child. Beyond the free memory pointer,
            // which needs no moving, because nothing stays there. Hashes come back in the scratch space at 0.
            let node := mload(0x40)
            let left := add(node, 0x01)
            let right := add(node, 0x21)
            mstore8(node, 0x01)
            let end := add(consistencyPath.offset, shl(5, consistencyPath.length))
            for { let c := add(consistencyPath.offset, shl(5, skip)) } lt(c, end) { c := add(c, 0x20) } {
                // Step 6 a: more hashes than levels.
                if iszero(sn) {
                    ran := 0
                    break
                }
                // The precompile at 2 is SHA-256; it fails only when gas runs out.
                switch or(and(fn, 1), eq(fn, sn))
                case 0 {
                    // Step 6 c: a right sibling, which only the second tree has.
                    mstore(left, sr)
                    calldatacopy(right, c, 0x20)
                    ran := and(ran, staticcall(gas(), 0x02, node, 0x41, 0x00, 0x20))
                    sr := mload(0x00)
                }
                default {
                    // Step 6 b: a left sibling, which both trees have.
                    calldatacopy(left, c, 0x20)
                    mstore(right, sr)
                    let same := eq(fr, sr)
                    ran := and(ran, staticcall(gas(), 0x02, node, 0x41, 0x00, 0x20))
                    sr := mload(0x00)
                    switch same
                    case 0 {
                        mstore(right, fr)
                        ran := and(ran, staticcall(gas(), 0x02, node, 0x41, 0x00, 0x20))
                        fr := mload(0x00)
                    }
                    default {
                        // Until the trees part, one hash serves both.
                        fr := sr
                    }
                    for {} iszero(or(and(fn, 1), iszero(fn))) {} {
                        fn := shr(1, fn)
                        sn := shr(1, sn)
                    }
                }
                fn := shr(1, fn)
                sn := shr(1, sn)
            }
        }
        return ran && sn == 0 && fr == firstHash && sr == secondHash;
    }

    /// @notice The hash of an inner node: SHA-256 of 0x01 and both children.
    function hashChildren(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
