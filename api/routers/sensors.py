"""Readings over HTTP: the same signed packs that come by MQTT."""

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from pydantic import BaseModel

from api.deps import RuntimeDep, body_of, body_schema
from farm_sensors import ingest
from farm_sensors.errors import BadSignatureError

router = APIRouter(prefix="/api/v1", tags=["sensors"])

SENML = ("application/senml+json", "application/json")


class PackAnswer(BaseModel):
    """What became of a pack. A duplicate was stored before and changed nothing."""

    readings: int
    duplicate: bool
    late: int
    conflict: str | None


@router.post("/readings", status_code=202, openapi_extra=body_schema(*SENML))
def take_readings(
    rt: RuntimeDep,
    device: Annotated[str, Header(alias="Guoyuan-Device", max_length=200)],
    signature: Annotated[str, Header(alias="Guoyuan-Signature", max_length=200)],
    body: Annotated[bytes, Depends(body_of(*SENML))],
) -> PackAnswer:
    """Take a SenML pack (RFC 8428) signed with the device's Ed25519 key over the exact body bytes.

    All of it is stored or, with a problem that names the record, none.
    """
    try:
        signed = base64.b64decode(signature, validate=True)
    except binascii.Error as error:
        raise BadSignatureError(device) from error
    with rt.db.write() as session:
        taken = ingest.accept(session, device_id=device, body=body, signature=signed, now=rt.clock.now())
    return PackAnswer(readings=taken.readings, duplicate=taken.duplicate, late=taken.late, conflict=taken.conflict)
