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
        (bytes32 seed, uint256 used) = fn == 0 ? (firstHash, 0) : (consistencyPath[0], 1);
        uint256 c;
        uint256 end;
        assembly ("memory-safe") {
            c := add(consistencyPath.offset, shl(5, used))
            end := add(consistencyPath.offset, shl(5, consistencyPath.length))
        }
        bytes32 fr;
        bytes32 sr;
        (c, fr, sr) = climb(fn, fn ^ sn, seed, c);
        // Step 6 a and the end: exactly as many hashes as the trees' shapes ask for.
        return c == end && fr == firstHash && sr == secondHash;
    }

    /// @dev Hashes from `seed` up to the roots of both trees, with the path that begins at `c` in the call's data;
    /// returns where the path must end. A path that ends earlier has been read on as zeros.
    ///
    /// RFC 9162's loop asks on every level which way to go, and whether a level is left. The bits of `fn` and `sn` hold
    /// the answers beforehand: a set bit of `fn` is a left sibling, on every level; a clear one is a right sibling up to
    /// the level where both last leaves' paths meet, and no hash at all above it.
    ///
    /// In assembly, because every anchor runs this some twenty times: see decision 0012. The tests hold it against the
    /// specification's recursive definition.
    function climb(uint256 fn, uint256 apart, bytes32 seed, uint256 c)
        private
        view
        returns (uint256 end, bytes32 fr, bytes32 sr)
    {
        bool ran = true;
        assembly ("memory-safe") {
            // Two inner nodes as they are hashed (0x01, left child, right child), one for each tree, beyond the free
            // memory pointer, which needs no moving, because nothing stays there. A hash comes back as the right child
            // of the node above, where a left sibling wants it.
            let f := mload(0x40)
            let fRight := add(f, 0x21)
            let s := add(f, 0x60)
            let sRight := add(s, 0x21)
            mstore8(f, 0x01)
            mstore8(s, 0x01)
            mstore(fRight, seed)
            mstore(sRight, seed)
            // The precompile at 2 is SHA-256; it fails only when gas runs out.
            for {} apart {} {
                // Step 6 b: left siblings, which both trees have.
                for {} and(fn, 1) {} {
                    let p := calldataload(c)
                    mstore(add(f, 0x01), p)
                    mstore(add(s, 0x01), p)
                    ran := and(
                        and(ran, staticcall(gas(), 0x02, f, 0x41, fRight, 0x20)),
                        staticcall(gas(), 0x02, s, 0x41, sRight, 0x20)
                    )
                    c := add(c, 0x20)
                    fn := shr(1, fn)
                    apart := shr(1, apart)
                }
                // Step 6 c: a right sibling, which only the second tree has.
                if apart {
                    mstore(add(s, 0x01), mload(sRight))
                    mstore(sRight, calldataload(c))
                    ran := and(ran, staticcall(gas(), 0x02, s, 0x41, sRight, 0x20))
                    c := add(c, 0x20)
                    fn := shr(1, fn)
                    apart := shr(1, apart)
                }
            }
            // The paths have met: step 6 b for every set bit, the lowest first.
            for {} fn { fn := and(fn, sub(fn, 1)) } {
                let p := calldataload(c)
                mstore(add(f, 0x01), p)
                mstore(add(s, 0x01), p)
                ran := and(
                    and(ran, staticcall(gas(), 0x02, f, 0x41, fRight, 0x20)),
                    staticcall(gas(), 0x02, s, 0x41, sRight, 0x20)
                )
                c := add(c, 0x20)
            }
            end := mul(c, ran)
            fr := mload(fRight)
            sr := mload(sRight)
        }
    }

    /// @notice The hash of an inner node: SHA-256 of 0x01 and both children.
    function hashChildren(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
