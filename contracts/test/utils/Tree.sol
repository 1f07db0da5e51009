// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

/// @dev RFC 9162's own recursive definitions of roots and proofs, slow and plain: what MerkleLog is held against.
library Tree {
    function hashChildren(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }

    /// @dev `count` leaf hashes, all different; another seed makes another log.
    function leaves(uint256 count, uint256 seed) internal pure returns (bytes32[] memory result) {
        result = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            result[i] = sha256(abi.encodePacked(bytes1(0x00), seed, i));
        }
    }

    /// @dev MTH(D[from:to]), section 2.1.1.
    function root(bytes32[] memory d, uint256 from, uint256 to) internal pure returns (bytes32) {
        if (to - from == 1) return d[from];
        uint256 k = split(to - from);
        return hashChildren(root(d, from, from + k), root(d, from + k, to));
    }

    /// @dev PATH(m, D[0:n]), section 2.1.3.1.
    function inclusionProof(bytes32[] memory d, uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        bytes32[] memory room = new bytes32[](64);
        return cut(room, path(room, d, m, 0, n));
    }

    /// @dev PROOF(m, D[0:n]), section 2.1.4.1.
    function consistencyProof(bytes32[] memory d, uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        bytes32[] memory room = new bytes32[](64);
        return cut(room, subproof(room, d, m, 0, n, true));
    }

    function path(bytes32[] memory room, bytes32[] memory d, uint256 m, uint256 from, uint256 to)
        private
        pure
        returns (uint256 length)
    {
        if (to - from == 1) return 0;
        uint256 k = split(to - from);
        if (m < k) {
            length = path(room, d, m, from, from + k);
            room[length] = root(d, from + k, to);
        } else {
            length = path(room, d, m - k, from + k, to);
            room[length] = root(d, from, from + k);
        }
        return length + 1;
    }

    function subproof(bytes32[] memory room, bytes32[] memory d, uint256 m, uint256 from, uint256 to, bool whole)
        private
        pure
        returns (uint256 length)
    {
        if (m == to - from) {
            if (whole) return 0;
            room[0] = root(d, from, to);
            return 1;
        }
        uint256 k = split(to - from);
        if (m <= k) {
            length = subproof(room, d, m, from, from + k, whole);
            room[length] = root(d, from + k, to);
        } else {
            length = subproof(room, d, m - k, from + k, to, false);
            room[length] = root(d, from, from + k);
        }
        return length + 1;
    }

    /// @dev The largest power of two below n.
    function split(uint256 n) internal pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }

    function cut(bytes32[] memory room, uint256 length) internal pure returns (bytes32[] memory result) {
        result = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            result[i] = room[i];
        }
    }
}

/// @dev Logs of a million and more leaves that are all alike, so that a root needs twenty hashes. The work of
/// checking a proof does not depend on what the leaves hold.
library UniformTree {
    bytes32 internal constant LEAF = bytes32(uint256(0x6c656166) << 200 | 0x77);

    function root(uint256 n) internal pure returns (bytes32) {
        if (n == 1) return LEAF;
        uint256 k = Tree.split(n);
        return Tree.hashChildren(perfect(k), root(n - k));
    }

    function perfect(uint256 k) internal pure returns (bytes32 r) {
        r = LEAF;
        for (; k > 1; k /= 2) {
            r = Tree.hashChildren(r, r);
        }
    }

    function inclusionProof(uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        bytes32[] memory room = new bytes32[](64);
        return Tree.cut(room, path(room, m, n));
    }

    function path(bytes32[] memory room, uint256 m, uint256 n) private pure returns (uint256 length) {
        if (n == 1) return 0;
        uint256 k = Tree.split(n);
        if (m < k) {
            length = path(room, m, k);
            room[length] = root(n - k);
        } else {
            length = path(room, m - k, n - k);
            room[length] = perfect(k);
        }
        return length + 1;
    }

    function consistencyProof(uint256 m, uint256 n) internal pure returns (bytes32[] memory) {
        bytes32[] memory room = new bytes32[](64);
        return Tree.cut(room, subproof(room, m, n, true));
    }

    function subproof(bytes32[] memory room, uint256 m, uint256 n, bool whole) private pure returns (uint256 length) {
        if (m == n) {
            if (whole) return 0;
            room[0] = root(n);
            return 1;
        }
        uint256 k = Tree.split(n);
        if (m <= k) {
            length = subproof(room, m, k, whole);
            room[length] = root(n - k);
        } else {
            length = subproof(room, m - k, n - k, false);
            room[length] = perfect(k);
        }
        return length + 1;
    }
}
