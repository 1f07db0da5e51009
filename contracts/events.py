"""What this package says in the log."""

from datetime import datetime

from contracts.moves import Move
from ledger.events import ObjectEvent
from ledger.kernel.clock import format_time
from ledger.kernel.ids import EventId
from ledger.vocabulary import Action, BizStep, Sentence


def chain_moved(move: Move, *, document: str, recorder: str, at: datetime, offset: str) -> ObjectEvent:
    """The log's heads go to another chain from now on; the heads the old one holds are in the named file."""
    return ObjectEvent(
        event_id=EventId(move.event_id),
        event_time=format_time(at),
        event_time_zone_offset=offset,
        action=Action.OBSERVE,
        biz_step=BizStep.OTHER,
        epc_list=(document,),
        extensions={
            "gy:sentence": Sentence.CHAIN_MOVED,
            "gy:recorder": recorder,
            "gy:evidence": [move.history],
            "gy:move": {
                "gy:fromChain": str(move.from_chain_id),
                "gy:fromGenesis": move.from_genesis,
                "gy:fromContract": move.from_contract,
                "gy:lastSize": move.last_size,
                "gy:lastRoot": move.last_root,
                "gy:lastBlock": move.last_block,
                "gy:toChain": str(move.to_chain_id),
                "gy:toGenesis": move.to_genesis,
                "gy:toContract": move.to_contract,
            },
        },
    )
