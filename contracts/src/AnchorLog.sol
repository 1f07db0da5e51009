// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

import {IAnchorLog} from "./interfaces/IAnchorLog.sol";
import {MerkleLog} from "./libraries/MerkleLog.sol";

/// @title Heads of append-only logs, each extending the one before it
contract AnchorLog is IAnchorLog {
    /// @dev Two slots: an anchor rewrites both and touches no third.
    /// 32 bits of block number last four thousand million blocks.
    struct Log {
        bytes32 root;
        address publisher;
        uint64 size;
        uint32 blockNumber;
    }

    /// @dev SHA-256 of nothing.
    bytes32 private constant EMPTY_ROOT = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;

    /// @inheritdoc IAnchorLog
    address public immutable registrar;

    mapping(bytes32 logId => Log) private _logs;
    mapping(bytes32 logId => address) private _successors;

    constructor(address registrar_) {
        // On a chain without the precompile every call of it would succeed and hash nothing.
        if (sha256("") != EMPTY_ROOT) revert Sha256Missing();
        registrar = registrar_;
    }

    /// @inheritdoc IAnchorLog
    function openLog(bytes32 logId, address publisher) external {
        if (msg.sender != registrar) revert NotRegistrar(msg.sender);
        if (publisher == address(0)) revert PublisherMissing();
        Log storage log = _logs[logId];
        if (log.publisher != address(0)) revert LogAlreadyOpen(logId);
        log.publisher = publisher;
        emit LogOpened(logId, publisher);
    }

    /// @inheritdoc IAnchorLog
    function anchor(bytes32 logId, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = _logs[logId];
        (address publisher, uint64 latest) = (log.publisher, log.size);
        if (msg.sender != publisher) revert NotPublisher(msg.sender);
        if (size <= latest) revert HeadNotNewer(size, latest);
        if (!_extends(latest, log.root, size, root, proof)) revert Inconsistent();
        log.root = root;
        log.size = size;
        // Truncation would only blur where to look for the event, never what was anchored.
        // forge-lint: disable-next-line(unsafe-typecast)
        log.blockNumber = uint32(block.number);
        emit HeadAnchored(logId, size, root, latest);
    }

    /// @inheritdoc IAnchorLog
    function offerPublisher(bytes32 logId, address successor) external {
        if (msg.sender != _logs[logId].publisher) revert NotPublisher(msg.sender);
        _successors[logId] = successor;
        emit PublisherOffered(logId, msg.sender, successor);
    }

    /// @inheritdoc IAnchorLog
    function acceptPublisher(bytes32 logId) external {
        if (msg.sender != _successors[logId]) revert NotSuccessor(msg.sender);
        Log storage log = _logs[logId];
        address previous = log.publisher;
        log.publisher = msg.sender;
        delete _successors[logId];
        emit PublisherChanged(logId, previous, msg.sender);
    }

    /// @inheritdoc IAnchorLog
    function head(bytes32 logId) external view returns (uint64 size, bytes32 root, uint32 blockNumber) {
        Log storage log = _logs[logId];
        return (log.size, log.root, log.blockNumber);
    }

    /// @inheritdoc IAnchorLog
    function publisherOf(bytes32 logId) external view returns (address publisher, address successor) {
        return (_logs[logId].publisher, _successors[logId]);
    }

    /// @inheritdoc IAnchorLog
    function isIncluded(bytes32 logId, uint64 index, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Log storage log = _logs[logId];
        return MerkleLog.verifyInclusion(index, log.size, leafHash, proof, log.root);
    }

    /// @dev Every tree extends the empty one, and RFC 9162 has no proof for that: none is taken.
    function _extends(uint64 latest, bytes32 latestRoot, uint64 size, bytes32 root, bytes32[] calldata proof)
        private
        view
        returns (bool)
    {
        if (latest == 0) return proof.length == 0;
        return MerkleLog.verifyConsistency(latest, size, proof, latestRoot, root);
    }
}
