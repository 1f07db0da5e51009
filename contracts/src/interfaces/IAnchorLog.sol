// SPDX-License-Identifier: AGPL-3.0-or-later
pragma solidity 0.8.37;

/// @title Heads of append-only logs, each extending the one before it
/// @notice Holds the newest tree head of every log and takes a newer one only with an RFC 9162 consistency
/// proof, so that nobody, the publisher included, can replace, shorten or fork a log that was anchored here.
/// @dev A log is named by the SHA-256 of its origin line. Older heads are in the events, and stay provable
/// from the newest one.
interface IAnchorLog {
    /// @notice A log was opened; `publisher` may anchor its heads.
    event LogOpened(bytes32 indexed logId, address indexed publisher);

    /// @notice A head was anchored. `size` is searchable, so that a verifier finds a checkpoint's anchor directly.
    /// @param previousSize The size of the head it extends; zero for the first.
    event HeadAnchored(bytes32 indexed logId, uint64 indexed size, bytes32 root, uint64 previousSize);

    /// @notice The publisher named a successor, who has not accepted yet; the zero address takes an offer back.
    event PublisherOffered(bytes32 indexed logId, address indexed publisher, address indexed successor);

    /// @notice The successor accepted, and is the publisher from now on.
    event PublisherChanged(bytes32 indexed logId, address indexed previous, address indexed publisher);

    /// @notice This chain has no SHA-256 precompile; the contract is not deployed there.
    error Sha256Missing();

    /// @notice Only the registrar opens logs; otherwise a stranger could take a log's name first.
    error NotRegistrar(address caller);

    /// @notice Only the log's publisher anchors heads and names a successor.
    error NotPublisher(address caller);

    /// @notice Only the successor whom the publisher named accepts.
    error NotSuccessor(address caller);

    /// @notice The log has a publisher already.
    error LogAlreadyOpen(bytes32 logId);

    /// @notice A log cannot be opened for the zero address: nobody could ever anchor in it.
    error PublisherMissing();

    /// @notice A head must hold more leaves than the newest one. Sending the same head twice ends here.
    error HeadNotNewer(uint64 size, uint64 latest);

    /// @notice The proof does not show that the new head extends the newest one.
    error Inconsistent();

    /// @notice Opens a log for a publisher. Only the registrar.
    /// @param logId SHA-256 of the log's origin line.
    function openLog(bytes32 logId, address publisher) external;

    /// @notice Replaces the newest head by one that extends it. Only the log's publisher.
    /// @param logId SHA-256 of the log's origin line.
    /// @param size Leaves in the new tree.
    /// @param root Root hash of the new tree.
    /// @param proof RFC 9162 consistency proof from the newest head; empty for the log's first head.
    function anchor(bytes32 logId, uint64 size, bytes32 root, bytes32[] calldata proof) external;

    /// @notice First step of changing the publisher: the present one names a successor.
    function offerPublisher(bytes32 logId, address successor) external;

    /// @notice Second step: the successor accepts, which shows that the new key can sign.
    function acceptPublisher(bytes32 logId) external;

    /// @notice The only address that may open logs. It has no power over a log once it is open.
    function registrar() external view returns (address);

    /// @notice The newest head, and the block that anchored it; all zero while there is none.
    function head(bytes32 logId) external view returns (uint64 size, bytes32 root, uint32 blockNumber);

    /// @notice Who may anchor now, and who was offered to; zero addresses where there is nobody.
    function publisherOf(bytes32 logId) external view returns (address publisher, address successor);

    /// @notice Whether the leaf stands at this index under the newest head.
    /// @param leafHash SHA-256 of 0x00 and the entry.
    /// @param proof RFC 9162 inclusion proof for the newest head's size.
    function isIncluded(bytes32 logId, uint64 index, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (bool);
}
