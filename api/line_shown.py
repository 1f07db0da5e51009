"""What the console shows of a batch and of a fruit, as JSON."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from api.line_journal import Tally
from api.line_tables import LineBatch, LineFruit
from grading.grade import DOUBTFUL
from grading.line.belt import Passed
from grading.standard import CULL, Text
from ledger.kernel.clock import format_time


def batch_shown(
    batch: LineBatch,
    tally: Tally,
    tiers: Sequence[str],
    *,
    lanes: Mapping[str, int] | None,
    rate_per_min: int,
    lost: Sequence[LineFruit] = (),
) -> dict[str, Any]:
    """Return the batch on the line with its counters; `lanes` is None where no gate sorts.

    `lost` are the newest fruit whose lane command came to nothing.
    """
    return {
        "ref": batch.server_ref or batch.run.rpartition(":")[2][:8],
        "lot": batch.lot,
        "crop": batch.crop,
        "variety": batch.variety,
        "standard": {"id": batch.standard, "edition": batch.edition},
        "opened_at": format_time(batch.opened_at),
        "received_g": batch.received_g or 0,
        "fruit": tally.fruit,
        "mass_g": tally.mass_g,
        "rate_per_min": rate_per_min,
        "doubtful": tally.by_tier.get(DOUBTFUL, [0])[0],
        "rejected": tally.by_tier.get(CULL, [0])[0],
        "near": {"fruit": tally.near[0], "fen": tally.near[1]},
        "weighed": tally.weighed,
        "lost": {"fruit": tally.lost, "last": [_lost_shown(row) for row in lost]},
        "tiers": [
            {
                "tier": tier,
                "name": {"zh": "等外", "en": "Cull"} if tier == CULL else {"zh": f"{tier} 果", "en": f"Tier {tier}"},
                **dict(zip(("fruit", "mass_g", "price_fen"), tally.by_tier.get(tier, (0, 0, 0)), strict=True)),
                "lane": None if lanes is None else lanes.get(tier),
            }
            for tier in tiers
        ],
    }


def fruit_shown(passed: Passed) -> dict[str, Any]:
    """Return what is shown of a passed fruit for as long as its batch stands here."""
    verdict, measures = passed.verdict, passed.measures
    why = [*passed.doubts] or [verdict.reason]
    return {
        "crops": [sha256(view.crop).hexdigest() for view in passed.views],
        "candidates": list(verdict.candidates),
        "why": [_said(text) for text in why],
        "reason": _said(verdict.reason),
        "measures": {
            "diameter_mm": round((measures.equivalent_diameter_um if measures else 0) / 1000, 1),
            "length_mm": round((measures.length_um if measures else 0) / 1000, 1),
            "mass_g": passed.mass_g,
            "marks_mm2": measures.blemish_mm2 if measures else 0,
        },
        "mass": {
            "from": passed.mass_from,
            "estimated_g": measures.mass_g if measures else 0,
            "scale_g": passed.weight.mass_g if passed.weight else None,
            "unweighed": _said(passed.weight.why.text) if passed.weight and passed.weight.why else None,
        },
    }


def queued_shown(row: LineFruit) -> dict[str, Any]:
    """Return a fruit that waits for a person."""
    shown = json.loads(row.shown)
    return {
        "number": row.number,
        "crops": [f"/files/{name}" for name in shown["crops"]],
        "candidates": shown["candidates"],
        "nominal_tier": row.nominal_tier,
        "why": shown["why"],
        "measures": shown["measures"],
        "mass": shown.get("mass"),
        "at": format_time(row.at),
    }


def passed_shown(row: LineFruit) -> dict[str, Any]:
    """Return a fruit that passed.

    `lane` is where it was sent, 0 the belt's end; None where no gate sorts, or nobody can say where it lies.
    """
    shown = json.loads(row.shown)
    return {
        "number": row.number,
        "tier": row.tier,
        "lane": row.lane,
        "crop": f"/files/{shown['crops'][0]}" if shown["crops"] else None,
        "mass_g": row.mass_g,
        "mass": shown.get("mass"),
        "price_fen": row.price_fen,
        "near_fen": row.near_fen,
        "reason": shown["reason"],
        "lost": None if row.lost is None else json.loads(row.lost),
        "at": format_time(row.at),
    }


def _lost_shown(row: LineFruit) -> dict[str, Any]:
    return {"number": row.number, "tier": row.tier, "lane": row.lane, "why": json.loads(row.lost or "{}")}


def _said(text: Text) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}
