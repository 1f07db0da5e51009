"""Where our contract is, remembered in a small file beside the chain."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.errors import ChainMismatchError


@dataclass(frozen=True, slots=True)
class Deployment:
    """One contract of ours on one chain. The genesis hash tells apart chains that share a number."""

    chain_id: int
    genesis: str
    address: str
    block: int | None
    """The block that holds its creation, or one before it: nothing of ours is in an older one."""
    raw: str | None
    """The deploying transaction, until a block holds it: sent again, it deploys the same contract once."""
    nonce: int | None = None
    gas: int | None = None
    max_fee_wei: int | None = None
    priority_fee_wei: int | None = None


class DeploymentFile:
    """A file that holds one deployment, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Deployment | None:
        """Return what is remembered, or None. Raises ChainMismatchError for a file that says nothing."""
        try:
            return Deployment(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ChainMismatchError(f"{self.path} does not say where our contract is") from error

    def begin(self, deployment: Deployment) -> None:
        """Remember a deployment about to be sent; where another process was first, its own stays."""
        part = self._write(deployment)
        with contextlib.suppress(FileExistsError):
            self.path.hardlink_to(part)
        part.unlink()

    def replace(self, deployment: Deployment) -> None:
        """Remember a deployment in place of what was remembered: dearer, or in a block."""
        self._write(deployment).replace(self.path)

    def forget(self) -> None:
        """Drop a deployment that can no longer happen."""
        self.path.unlink(missing_ok=True)

    def _write(self, deployment: Deployment) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        with part.open("w") as file:
            json.dump(asdict(deployment), file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        return part
