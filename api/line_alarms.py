# ruff: noqa: RUF001  # Chinese has its own punctuation
"""What must not be missed at a line, and what of it stops the grading. Pure: facts in, alarms out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from api.line_delivery import Standing
from grading.line.light import Kind, Trouble
from grading.line.wires import State, WireState
from grading.profile import CameraProfile
from grading.standard import Text

CALIBRATION_WARNING: Final = timedelta(minutes=30)
OFFLINE_WARNING_S: Final = 30.0
DISK_WARNING_BYTES: Final = 2 * 1024**3
_MOST_REFUSED: Final = 5
_FRUIT_TOLD: Final = 10
"""Of fewer fruit, no share is an alarm."""


REFUSALS_ZH: Final[Mapping[str, str]] = {
    "batch_of_other_run": "本批已由另一条线或拍照分级",
    "calibration_expired": "果经过时标定已过期",
    "clock_ahead": "本机时钟比服务器快",
    "evidence": "证据不完整或不相符",
    "fruit_refused": "有果被拒收",
    "lot_graded": "本批已经分级完毕",
    "lot_held": "本批已被扣下",
    "lot_unknown": "本批还没有收货",
    "rehearsal": "演练的果只送给演示系统",
    "role_not_allowed": "这个口令不是工作台的",
    "sign_in_refused": "工作台口令不对",
    "standard_differs": "标准或价目表与服务器的不同",
    "too_many_attempts": "口令试错太多，稍后再试",
    "unbalanced": "各档重量与收货重量对不上",
    "unexpected": "上传时出错，会再试",
}
"""What the house refuses, where a line's delivery may meet it; what stands beside a code is English."""


_PRESSED: Final[Mapping[str, Text]] = {
    "console": Text("在本线的触摸屏上按下", "pressed on this line's panel"),
    "plc": Text("PLC 里仍锁着", "still latched at the PLC"),
    "mqtt": Text("由 MQTT 发出", "declared over MQTT"),
}
"""Reasons that our own programs give; a person's words stay as they are."""


class Level(StrEnum):
    """Whether an alarm stops the grading."""

    WARNING = "warning"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that must not be missed. `id` stays the same as long as it is the same thing."""

    id: str
    kind: str
    level: Level
    text: Text


def emergency(reason: str | None) -> list[Alarm]:
    """Return the alarm of an emergency; the gates reject everything."""
    if reason is None:
        return []
    who = _PRESSED.get(reason, Text(reason, reason))
    text = Text(f"紧急剔除：{who.zh}", f"emergency, everything is rejected: {who.en}")
    return [Alarm("emergency", "emergency", Level.STOP, text)]


def program(failed: str | None) -> list[Alarm]:
    """Return the alarm of a part of this program that broke off: what passes is neither graded nor kept."""
    if failed is None:
        return []
    text = Text(f"程序的一部分停了（{failed}）", f"a part of the program broke off ({failed})")
    return [Alarm("program", "program", Level.STOP, text)]


def rules(name: str | None) -> list[Alarm]:
    """Return the alarm of a batch that was begun by another standard, price book or profile: the house takes one."""
    if name is None:
        return []
    zh = {"standard": "标准", "price book": "价目表", "camera profile": "相机标定", "Brix": "糖度"}[name]
    text = Text(f"本批开始时用的是另一份{zh}", f"the open lot was begun with another {name}")
    return [Alarm("rules", "rules", Level.STOP, text)]


def calibration_state(profile: CameraProfile, now: datetime) -> str:
    """Return `valid`, `expires_soon`, `expired`, or `missing` for one that has not begun."""
    if now < profile.made_at:
        return "missing"
    if now >= profile.valid_until:
        return "expired"
    return "expires_soon" if now >= profile.valid_until - CALIBRATION_WARNING else "valid"


def calibration(profile: CameraProfile, now: datetime) -> list[Alarm]:
    """Return the alarm of a calibration that has ended, ends soon, or has not begun."""
    texts: Mapping[str, tuple[Level, Text]] = {
        "expired": (Level.STOP, Text("标定已过期，请重新标定", "the calibration has ended; calibrate again")),
        "missing": (Level.STOP, Text("标定时间在未来，请检查时钟", "the calibration lies ahead; look at the clock")),
        "expires_soon": (Level.WARNING, Text("标定即将过期", "the calibration ends soon")),
    }
    found = texts.get(calibration_state(profile, now))
    return [] if found is None else [Alarm("calibration", "calibration", *found)]


def camera(*, is_lost: bool, trouble: str) -> list[Alarm]:
    """Return the alarm of a camera that went away."""
    text = Text(f"相机断开，会自动重连（{trouble}）", f"the camera is lost: {trouble}")
    return [Alarm("camera", "camera_lost", Level.STOP, text)] if is_lost else []


def light(troubles: Sequence[Trouble], ungraded: str | None) -> list[Alarm]:
    """Return the alarms of the light, and of a picture that could not be graded."""
    found = [
        Alarm(
            f"light-{each.kind.value}",
            each.kind.value,
            Level.WARNING if each.kind is Kind.DRIFT else Level.STOP,
            each.text,
        )
        for each in troubles
    ]
    if ungraded is not None:
        text = Text(f"有画面无法分级（{ungraded}）", f"a picture could not be graded: {ungraded}")
        found.append(Alarm("picture", "camera_lost", Level.WARNING, text))
    return found


def wires(states: Sequence[WireState], lost_commands: int) -> list[Alarm]:
    """Return the alarms of gates, encoder and scale, and of commands that no gate followed."""
    found = []
    for wire in states:
        if wire.trouble is None and wire.state is not State.LOST:
            continue
        kind = {"encoder": "encoder_lost", "scale": "scale_lost"}.get(wire.name, "output_lost")
        told = wire.trouble.text if wire.trouble else Text("断开", "lost")
        # What passes without gates ends in the reject lane: counted as well, it would be counted twice.
        level = Level.STOP if wire.state is State.LOST and wire.name != "scale" else Level.WARNING
        found.append(
            Alarm(f"wire-{wire.name}", kind, level, Text(f"{wire.name}：{told.zh}", f"{wire.name}: {told.en}"))
        )
    if lost_commands:
        text = Text(
            f"{lost_commands} 个已计数的果没有分道，在剔除道末端",
            f"{lost_commands} counted fruit had no gate and lie at the end of the reject lane",
        )
        found.append(Alarm("lost-commands", "output_lost", Level.WARNING, text))
    return found


def scale(weighed: Sequence[bool]) -> list[Alarm]:
    """Return the alarm of a scale whose weights do not find their fruit; `weighed` tells of the last fruit."""
    if len(weighed) < _FRUIT_TOLD or 2 * sum(weighed) >= len(weighed):
        return []
    text = Text(
        f"最近 {len(weighed)} 个果只有 {sum(weighed)} 个有秤重，其余按画面估重：检查秤和它的位置",
        f"only {sum(weighed)} of the last {len(weighed)} fruit have a weight, the others an estimate; look at the "
        "scale and at where it is said to stand",
    )
    return [Alarm("scale-fruit", "scale_lost", Level.WARNING, text)]


def belt(*, blind: int, doubts_encoder: bool) -> list[Alarm]:
    """Return the alarms of a belt that is not where it is said to be, or that moved on unseen."""
    found = []
    if doubts_encoder:
        text = Text(
            "编码器与画面不符，已改用时间定位",
            "the encoder says something else than the picture; fruit are placed by time instead",
        )
        found.append(Alarm("belt-encoder", "encoder_lost", Level.WARNING, text))
    if blind:
        text = Text(
            f"皮带有 {blind} 次在两帧之间走得太远，可能有果没有拍到",
            f"{blind} times the belt moved on further than a picture shows; fruit may have passed unseen",
        )
        found.append(Alarm("belt-blind", "camera_lost", Level.WARNING, text))
    return found


def disk(free_bytes: int, stop_bytes: int, trouble: str | None) -> list[Alarm]:
    """Return the alarm of a disk that is full, or will be."""
    if trouble is not None or free_bytes < stop_bytes:
        why = trouble or f"{free_bytes // 2**20} MiB"
        text = Text(f"磁盘写不下了（{why}），已停止分级", f"the disk is full ({why}); nothing is graded")
        return [Alarm("disk", "disk", Level.STOP, text)]
    if free_bytes < max(DISK_WARNING_BYTES, 2 * stop_bytes):
        left = free_bytes // 2**20
        return [
            Alarm("disk", "disk", Level.WARNING, Text(f"磁盘只剩 {left} MiB", f"only {left} MiB are left on the disk"))
        ]
    return []


def delivery(standing: Standing, offline_s: float, refused: Sequence[tuple[int, str]]) -> list[Alarm]:
    """Return the alarms of deliveries: out of reach for a while, refused, and each of the first refused fruit."""
    found = [
        Alarm(
            f"refused-{number}",
            "delivery",
            Level.WARNING,
            Text(f"服务器拒收第 {number} 号果：{why}", f"the house refuses fruit {number}: {why}"),
        )
        for number, why in refused[:_MOST_REFUSED]
    ]
    if standing.state == "refused" and standing.error is not None:
        code, why = standing.error
        text = Text(f"服务器拒收（{code}）：{REFUSALS_ZH.get(code, why)}", f"the house refuses ({code}): {why}")
        return [Alarm("delivery", "delivery", Level.WARNING, text), *found]
    if offline_s >= OFFLINE_WARNING_S:
        text = Text(
            f"连不上服务器，本机继续分级，{standing.waiting} 条待送",
            f"the server is not reached; grading goes on, {standing.waiting} wait to be delivered",
        )
        return [Alarm("delivery", "delivery", Level.WARNING, text), *found]
    return found


def restarted(fruit: int) -> list[Alarm]:
    """Return the alarm of fruit that were kept just before a kill, their lane command perhaps not sent."""
    if not fruit:
        return []
    text = Text(
        f"上次停机时有 {fruit} 个果可能没有分道，请检查剔除道",
        f"fruit counted just before the last stop that may have had no lane: {fruit}; look in the reject lane",
    )
    return [Alarm("restart", "output_lost", Level.WARNING, text)]
