"""Sale channels: which platforms may send us webhooks, and the secrets they sign with.

A webhook secret must be readable to check a signature, so it cannot be hashed. It is sealed with a key
drawn from `GUOYUAN_SECRET`: a copy of the database alone forges nothing.
"""

import base64
import re
import secrets
from datetime import datetime
from typing import Final

from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.hash import blake2b
from nacl.secret import SecretBox
from sqlmodel import Session, select

from api.errors import ChannelExistsError, ChannelNameError, UnknownChannelError
from api.models import Channel
from ledger.kernel.errors import SettingsError
from ledger.kernel.settings import Settings

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SECRET_BYTES: Final = 32


def add(session: Session, settings: Settings, name: str, *, replace: bool, now: datetime) -> str:
    """Add a channel and return its new secret, `whsec_...`, which is shown this once.

    Raises ChannelNameError, and ChannelExistsError unless `replace` asks for a new secret.
    """
    if not _NAME.fullmatch(name):
        raise ChannelNameError(f"{name!r} is not a channel name: small letters, digits and dashes, at most 40")
    known = session.get(Channel, name)
    if known is not None and not replace:
        raise ChannelExistsError(name)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    sealed = bytes(_box(settings).encrypt(secret.encode()))
    session.merge(Channel(name=name, sealed_secret=sealed, created_at=known.created_at if known else now))
    session.flush()
    return secret


def secret_of(session: Session, settings: Settings, name: str) -> str:
    """Return a channel's secret. Raises UnknownChannelError, SettingsError after GUOYUAN_SECRET changed."""
    channel = session.get(Channel, name)
    if channel is None:
        raise UnknownChannelError(name)
    try:
        return _box(settings).decrypt(channel.sealed_secret).decode()
    except CryptoError as error:
        raise SettingsError(
            f"the secret of channel {name} was sealed under another GUOYUAN_SECRET; give it a new one: "
            f"guoyuan channels add {name} --replace"
        ) from error


def names(session: Session) -> list[str]:
    """Return every channel, by name."""
    return list(session.exec(select(Channel.name).order_by(Channel.name)))


def _box(settings: Settings) -> SecretBox:
    secret = settings.secret.get_secret_value().encode()
    return SecretBox(blake2b(secret, digest_size=SecretBox.KEY_SIZE, person=b"guoyuan channels", encoder=RawEncoder))
