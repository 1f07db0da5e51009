# ruff: noqa: RUF001  # Chinese has its own punctuation
"""What the station at the belt refuses. Everybody there reads one of two languages, so refusals are told in both.

LineError
├── NoBatchError             no batch is open on the line
├── BatchOpenError           another batch is still open
├── OtherBatchError          what was asked is about a batch that is not the open one any more
├── UnknownCrateError        what was scanned is no lot, and no crate that we know
├── UnknownLotError          the house can be asked, and has not received this lot
├── RefusedLotError          the house said that this lot may not be graded
├── StoppedLineError         the line may not grade now: the alarm that stops it is named
├── UndecidedError           fruit of the batch still wait for a person
├── UnknownNumberError       the open batch has no fruit of this number
├── DecidedError             somebody else has decided about this fruit meanwhile
├── TierError                no such tier, or no such reason
├── WeighingError            the weights of a closing are not those of its fruit
├── HouseRefusedError        the house does not agree to what was asked of it at once
├── OfflineSecondError       a second person's code can be checked by the server alone, and it is not reached
├── StateFolderError         the state folder is used by another process, or belongs to another line
├── OtherStandardError       the server grades this crop by another standard or price book
└── ServerError              the server cannot be reached, or refuses this station
"""

from ledger.kernel.errors import OriginError


class LineError(OriginError):
    """The station at the belt refuses."""

    code = "line"

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.detail_zh = zh


class NoBatchError(LineError):
    """No batch is open on the line."""

    code = "line_idle"

    def __init__(self) -> None:
        super().__init__("no batch is open; scan a crate or a lot first", "还没有开批，请先扫描筐或批次")


class BatchOpenError(LineError):
    """Another batch is still open on the line."""

    code = "line_busy"

    def __init__(self, lot: str) -> None:
        super().__init__(f"lot {lot} is still on the line; close it first", f"批次 {lot} 还在线上，请先结束")
        self.lot = lot


class OtherBatchError(LineError):
    """A page that was left behind asks about a batch that has ended."""

    code = "line_other_lot"

    def __init__(self, lot: str) -> None:
        super().__init__(
            f"lot {lot} is on the line now, not the one you saw; look again", f"线上已换成批次 {lot}，请看清再按"
        )


class DecidedError(LineError):
    """Somebody else has decided about this fruit since the page showed it."""

    code = "line_decided"

    def __init__(self, number: int, tier: str) -> None:
        super().__init__(
            f"fruit {number} was decided meanwhile: {tier}; correct it among the last fruit",
            f"第 {number} 号果刚被判为 {tier}，要改请在最近的果里改",
        )


class UnknownCrateError(LineError):
    """What was scanned is no lot's QR code, and no crate this station knows."""

    code = "crate_unknown"

    def __init__(self, scanned: str) -> None:
        super().__init__(
            f"{scanned!r} is no lot's code and no crate that is known here; scan the lot's own code",
            f"“{scanned}”不是批次码，也不是已知的筐，请扫描批次码",
        )
        self.scanned = scanned


class UnknownLotError(LineError):
    """The house was asked just now, and has not received this lot: it may be another house's."""

    code = "lot_unknown_here"

    def __init__(self, lot: str) -> None:
        super().__init__(
            f"the house has not received lot {lot}: receive it first, or scan another",
            f"本库没有收过批次 {lot}，请先收货或扫另一个",
        )
        self.lot = lot


class RefusedLotError(LineError):
    """The house said that this lot may not be graded."""

    code = "lot_refused"

    def __init__(self, lot: str, state: str) -> None:
        super().__init__(f"lot {lot} may not be graded: it is {state}", f"批次 {lot} 不能分级：{state}")
        self.lot, self.state = lot, state


class StoppedLineError(LineError):
    """The line may not grade now; the alarm says why."""

    code = "line_stopped"

    def __init__(self, kind: str, en: str, zh: str) -> None:
        super().__init__(f"the line is stopped: {en}", f"生产线已停：{zh}")
        self.kind = kind


class UndecidedError(LineError):
    """Fruit of the batch still wait for a person."""

    code = "line_undecided"

    def __init__(self, fruits: int) -> None:
        super().__init__(f"{fruits} doubtful fruit wait for a person", f"还有 {fruits} 个待定果需要人工判定")
        self.fruits = fruits


class UnknownNumberError(LineError):
    """The open batch has no fruit of this number."""

    code = "line_fruit_unknown"

    def __init__(self, number: int) -> None:
        super().__init__(f"the open batch has no fruit {number}", f"当前批次没有第 {number} 号果")
        self.number = number


class TierError(LineError):
    """The tier or the reason of a judgement is none there is."""

    code = "line_tier"

    def __init__(self, word: str, known: tuple[str, ...]) -> None:
        listed = ", ".join(known)
        super().__init__(f"{word!r} is none of {listed}", f"“{word}”不在 {listed} 之中")
        self.word, self.known = word, known


class WeighingError(LineError):
    """The weights of a closing are not those of its fruit."""

    code = "line_weighing"


class HouseRefusedError(LineError):
    """The house does not agree to what was asked of it at once; `reason` is its own word."""

    code = "line_house_refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"the house does not agree: {detail}", f"服务器不同意：{detail}")
        self.reason = reason


class OfflineSecondError(LineError):
    """A second person's code can be checked by the server alone."""

    code = "line_second_offline"

    def __init__(self, from_tier: str, to_tier: str) -> None:
        super().__init__(
            f"{from_tier} to {to_tier} is better than the camera's tier: a second person must agree, and their code "
            "can only be checked while the server is reached",
            f"从 {from_tier} 改为 {to_tier} 高于相机判定，需要第二人确认；现在连不上服务器，无法核对其代码",
        )
        self.from_tier, self.to_tier = from_tier, to_tier


class StateFolderError(LineError):
    """The state folder cannot be used by this process."""

    code = "line_state"

    def __init__(self, folder: str, why: str) -> None:
        super().__init__(f"{folder}: {why}", f"{folder}：{why}")
        self.folder = folder


class OtherStandardError(LineError):
    """The server grades this crop by another standard or price book than this station was told to."""

    code = "line_standard"

    def __init__(self, what: str, ours: str, theirs: str) -> None:
        super().__init__(
            f"the server's {what} is {theirs}, this station's {ours}; fruit graded so would be refused",
            f"服务器使用的{what}是 {theirs}，本机是 {ours}，这样分级的果会被拒收",
        )
        self.what, self.ours, self.theirs = what, ours, theirs


class ServerError(LineError):
    """The server cannot be reached, or refuses this station."""

    code = "line_server"
