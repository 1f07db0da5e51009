// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

/// @dev What AnchorLog is measured against. None of these refuses a rewritten history.

/// @dev Every event is a transaction of its own, kept in storage.
contract PerEvent {
    mapping(bytes32 digest => uint256) private _seen;

    error AlreadyKept(bytes32 digest);

    event Kept(bytes32 indexed digest);

    function keep(bytes32 digest) external {
        if (_seen[digest] != 0) revert AlreadyKept(digest);
        _seen[digest] = block.timestamp;
        emit Kept(digest);
    }
}

/// @dev A time for each root, by whoever sends it, as attestation services keep one.
contract Timestamp {
    mapping(bytes32 root => uint64) private _times;

    error AlreadyTimestamped(bytes32 root);

    event Timestamped(bytes32 indexed root, uint64 indexed time);

    function timestamp(bytes32 root) external returns (uint64 time) {
        if (_times[root] != 0) revert AlreadyTimestamped(root);
        time = uint64(block.timestamp);
        _times[root] = time;
        emit Timestamped(root, time);
    }
}

/// @dev Every head is kept, its root in one slot, size and time in another, with a counter.
contract TwoSlot {
    struct Head {
        bytes32 root;
        uint64 size;
        uint64 time;
    }

    address private immutable _publisher;
    uint64 private _count;
    uint64 private _latest;
    mapping(uint64 number => Head) private _heads;

    error NotPublisher(address caller);
    error HeadNotNewer(uint64 size, uint64 latest);

    event HeadKept(uint64 indexed number, uint64 indexed size, bytes32 root);

    constructor() {
        _publisher = msg.sender;
    }

    function keep(bytes32 root, uint64 size) external {
        if (msg.sender != _publisher) revert NotPublisher(msg.sender);
        if (size <= _latest) revert HeadNotNewer(size, _latest);
        uint64 number = _count + 1;
        (_count, _latest) = (number, size);
        _heads[number] = Head(root, size, uint64(block.timestamp));
        emit HeadKept(number, size, root);
    }
}
