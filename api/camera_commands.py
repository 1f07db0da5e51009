"""The commands of the camera: print the board and the card's frame, calibrate, watch the light, show a profile."""

import io
import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.terminal import BAD_INPUT, OK, UNREACHABLE, WRONG, AsJson, command, print_json, say, table

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from grading.camera import Pixels
    from grading.colour_card import Card
    from grading.lens import Board, View
    from grading.line.light import Light, Watch
    from grading.line.sources import Shot, Source
    from grading.profile import CameraProfile

app = typer.Typer(help="The camera over the belt: calibrate it, watch its light.", no_args_is_help=True)

BoardName = Annotated[str, typer.Option("--board", metavar="a4|a3", help="The printed board.")]
_PX_PER_MM: Final = 12
_SHEETS: Final = {"a4": (297.0, 210.0), "a3": (420.0, 297.0)}


@command(app, "board")
def board(
    out: Annotated[Path, typer.Option("--out", help="A .pdf to print, or a .png with its dots per inch.")],
    size: BoardName = "a4",
) -> int:
    """Write the ChArUco board to print, in true millimetres."""
    from grading.lens import board_picture

    chosen = _board(size)
    text = (
        f"guoyuan board {chosen.name}: {chosen.columns} x {chosen.rows} squares of {chosen.square_um / 1000:.1f} mm. "
        "Print at 100 %, glue it to something flat, measure a square."
    )
    _write_sheet(out, board_picture(chosen, _PX_PER_MM), chosen.size_mm, text)
    typer.echo(f"{out}: {text}")
    return OK


@command(app, "card")
def card(
    out: Annotated[Path, typer.Option("--out", help="A .pdf to print, or a .png with its dots per inch.")],
    across_mm: Annotated[
        float, typer.Option(min=20, max=400, help="From the middle of the card's first patch to the last of its row.")
    ],
    down_mm: Annotated[
        float,
        typer.Option(min=20, max=400, help="From the middle of the card's first patch to the last of its column."),
    ],
    values: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="The card's values.")] = "classic-24",
) -> int:
    """Write the frame into which a colour card of yours is laid, and beside it the card's values with its size."""
    import msgspec

    from grading.colour_card import MARGIN_MM, frame_of, frame_picture, load_card

    sized = msgspec.structs.replace(load_card(values), across_mm=across_mm, down_mm=down_mm)
    frame = frame_of(sized)
    wide, high = (each + 2 * MARGIN_MM for each in frame.window_mm)
    text = (
        f"guoyuan frame for card {sized.name}. Print at 100 %. Lay the card into the window: its first patch "
        f"({sized.patches[0].name}) at the arrow, the middles of its outer patches at the notches."
    )
    beside = out.with_suffix(".toml")
    if Path(values).resolve() == beside.resolve():
        raise typer.BadParameter(f"{beside} would be written over: choose another name", param_hint="--out")
    _write_sheet(out, frame_picture(frame, _PX_PER_MM), (wide, high), text)
    beside.write_text(_card_text(sized), "utf-8")
    typer.echo(f"{out}: {text}\n{beside}: the card's values; give it to `guoyuan camera calibrate --card-values`")
    return OK


@command(app, "photo")
def photo(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="usb:0, rtsp://..., http://..., video:PATH.")],
    out: Annotated[Path, typer.Option("--out", help="The picture to write, .png.")],
    size: BoardName = "a4",
    wait_s: Annotated[float, typer.Option(min=0.1, max=60, help="How long the camera may take to settle.")] = 2.0,
) -> int:
    """Take one photograph with the line's own camera, and say whether the board is seen in it."""
    from grading.errors import BoardError
    from grading.lens import find_board
    from grading.line.sources import SourceState, open_source

    if out.suffix.lower() != ".png":
        raise typer.BadParameter("must end in .png: a photograph to measure in loses nothing", param_hint="--out")
    chosen, opened = _board(size), open_source(source)
    last = _after(opened, wait_s)
    lost = opened.state is SourceState.LOST
    opened.close()
    if last is None:
        typer.echo(f"guoyuan: {opened.name}: {opened.trouble or 'no picture came'}", err=True)
        return UNREACHABLE if lost or not opened.trouble else BAD_INPUT
    out.write_bytes(_png(last.pixels))
    try:
        seen = f"the board with {len(find_board(last.pixels, chosen).ids)} corners"
    except BoardError as error:
        seen = str(error)
    height, width = last.pixels.shape[:2]
    typer.echo(f"{out}: {width} x {height}; {seen}")
    return OK


@command(app, "calibrate")
def calibrate(  # noqa: PLR0917  # options, not positions
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="The board held before the camera.")],
    belt: Annotated[Path, typer.Option("--belt", help="The board lying on the belt.")],
    out: Annotated[Path, typer.Option("--out", help="The profile to write, .json.")],
    card_photo: Annotated[Path | None, typer.Option("--card", help="The colour card in its frame on the belt.")] = None,
    card_values: Annotated[
        str, typer.Option(metavar="FILE.toml", help="The card's values and size, as `camera card` wrote them.")
    ] = "",
    light_photo: Annotated[
        Path | None, typer.Option("--light", help="The belt as it runs, fruit on it: the light to compare with.")
    ] = None,
    size: BoardName = "a4",
    square_mm: Annotated[
        float | None, typer.Option(min=3, max=200, help="Side of a printed square, where it is not the board's own.")
    ] = None,
    thickness_mm: Annotated[
        float, typer.Option(min=0, max=200, help="From the board's printed face down to the belt.")
    ] = 0.0,
    name: Annotated[str, typer.Option(help="The camera's name.")] = "camera",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long the profile holds.")] = 30,
    as_json: AsJson = False,
) -> int:
    """Make a camera's profile: lens from the photographs, belt from --belt, colour from --card, light from --light.

    After each photograph it says what is still missing. What cannot be trusted is refused by name, exit code 2.
    """
    from dataclasses import replace

    from grading.colour_card import calibrate_colour, load_card
    from grading.errors import BoardError, CannotGradeError
    from grading.lens import belt_plane, calibrate_lens, find_board, missing
    from grading.line.light import observed
    from grading.profile import CameraProfile, parse_profile
    from ledger.kernel.clock import SystemClock

    chosen = _board(size)
    if square_mm is not None:
        chosen = replace(chosen, square_um=round(square_mm * 1000))
    if card_photo is not None and not card_values:
        raise typer.BadParameter("say whose values: the .toml that `camera card` wrote", param_hint="--card-values")
    views: list[View] = []
    refused: list[dict[str, str]] = []
    for path in photos:
        try:
            views.append(find_board(_pixels(path), chosen, name=path.name))
        except (BoardError, CannotGradeError) as error:
            refused.append({"what": path.name, "why": str(error)})
            _tell(f"{path.name}: {error}", is_quiet=as_json)
        else:
            _tell(f"{path.name}: {len(views[-1].ids)} corners", is_quiet=as_json)
        for lack in missing(views, chosen):
            _tell(f"    still missing: {lack.en}", is_quiet=as_json)
    lens = calibrate_lens(views, chosen)
    _tell(f"lens: focal length {lens.focal_milli_px[0] / 1000:.1f} px, {_lens_text(lens)}", is_quiet=as_json)
    lying = find_board(_same_size(belt, views[0].size), chosen, name=belt.name)
    plane = belt_plane(lying, chosen, lens, thickness_um=round(thickness_mm * 1000))
    now = SystemClock().now()
    profile = CameraProfile(
        name,
        views[0].size,
        plane.nm_per_px,
        plane.camera_height_um,
        now,
        now + timedelta(days=days),
        lens=lens,
        plane=plane.plane,
        light=None if light_photo is None else observed(_same_size(light_photo, views[0].size)).baseline,
    )
    if card_photo is not None:
        flat = profile.corrected(_same_size(card_photo, views[0].size))
        profile = replace(profile, colour=calibrate_colour(flat, load_card(card_values)))
    # What is written is what will be read: a profile that contradicts itself is never left behind.
    part = out.with_suffix(".part")
    part.write_bytes(parse_profile(profile.data).data)
    part.replace(out)
    if as_json:
        print_json({**_facts(profile), "refused": refused})
    else:
        _say_profile(profile)
        if light_photo is None:
            say("no --light: drift of the lamp cannot be told")
        if card_photo is None:
            say("no --card: colours are as the camera gives them")
        say(f"written to {out}")
    return OK


@command(app, "show")
def show(
    file: Annotated[Path, typer.Argument(metavar="PROFILE", help="A camera profile.")], as_json: AsJson = False
) -> int:
    """Show a camera's profile. Exit code 1 where it does not hold today, 2 where it cannot be read."""
    from grading.profile import parse_profile
    from ledger.kernel.clock import SystemClock

    profile = parse_profile(_small(file))
    now = SystemClock().now()
    if as_json:
        print_json({**_facts(profile), "is_valid": profile.is_valid(now)})
    else:
        _say_profile(profile)
        if not profile.is_valid(now):
            say("It does not hold today: calibrate again.")
    return OK if profile.is_valid(now) else WRONG


@command(app, "watch")
def watch(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="usb:0, rtsp://..., http://..., video:PATH, folder:PATH.")
    ],
    profile: Annotated[Path | None, typer.Option("--profile", help="Compare with this profile's light.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0 is until it ends or Ctrl-C.")] = 0.0,
    every_s: Annotated[float, typer.Option("--every", min=0.1, max=60, help="Seconds between lines.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> int:
    """Print the light on the belt once a second: sharpness, exposure, colour, and what is wrong with it.

    Exit code 0 while the last picture's light is good, 1 where it is not, 3 where the camera gave no picture.
    """
    from grading.line.light import Watch
    from grading.line.sources import SourceState, open_source
    from grading.profile import parse_profile

    baseline = None if profile is None else parse_profile(_small(profile)).light
    watching = Watch(baseline)
    opened = open_source(source)
    done, count = threading.Event(), [0]

    def follow() -> None:
        for shot in opened.shots():
            watching.check(shot)
            count[0] += 1
        done.set()

    follower = threading.Thread(target=follow, name="light", daemon=True)
    follower.start()
    left_s, seen = seconds or float("inf"), 0
    try:
        while not done.wait(min(every_s, left_s)):
            left_s -= every_s
            _say_light(opened, watching, count[0] - seen, every_s, as_json=as_json)
            seen = count[0]
            if left_s <= 0:
                break
    except KeyboardInterrupt:
        pass
    was_lost = opened.state is SourceState.LOST
    if done.is_set():
        _say_light(opened, watching, count[0] - seen, every_s, as_json=as_json)
    opened.close()
    follower.join(5)
    if watching.light is None or was_lost:
        typer.echo(f"guoyuan: {opened.name}: {opened.trouble or 'no picture came'}", err=True)
        return UNREACHABLE
    return WRONG if watching.troubles else OK


def _board(name: str) -> "Board":
    from grading.lens import BOARDS

    if name not in BOARDS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(BOARDS)}", param_hint="--board")
    return BOARDS[name]


def _small(path: Path) -> bytes:
    """Return a profile's bytes; of a larger file one more than a profile may have."""
    from grading.profile import MOST_BYTES

    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _pixels(path: Path) -> "Pixels":
    from grading.camera import MAX_BYTES, decode
    from grading.errors import ImageTooLargeError, UnreadableFileError

    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImageTooLargeError("bytes", found=size, limit=MAX_BYTES)
        return decode(path.read_bytes()).pixels
    except OSError as error:
        raise UnreadableFileError(path, error.strerror or str(error)) from error


def _same_size(path: Path, size: tuple[int, int]) -> "Pixels":
    from grading.errors import BoardError

    pixels = _pixels(path)
    height, width = pixels.shape[:2]
    if (width, height) != size:
        raise BoardError(
            "size_differs",
            f"{path.name} is {width} x {height}, the photographs of the board are {size[0]} x {size[1]}: "
            "take all of them with the line's camera, set as it runs",
        )
    return pixels


def _after(source: "Source", wait_s: float) -> "Shot | None":
    """Return the newest shot after the camera had time to settle; of a recording the first one."""
    from grading.line.live import LiveSource

    shots: list[Shot] = []
    settled = threading.Event()

    def follow() -> None:
        for shot in source.shots():
            shots[:] = [shot]
            if settled.is_set() or not isinstance(source, LiveSource):
                return

    follower = threading.Thread(target=follow, name="photo", daemon=True)
    follower.start()
    follower.join(wait_s)
    settled.set()
    follower.join(5 + wait_s)
    return shots[0] if shots else None


def _png(pixels: "NDArray[uint8]", dots_per_mm: int = 0) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    per_inch = dots_per_mm * 25.4
    image.save(out, "PNG", **({"dpi": (per_inch, per_inch)} if dots_per_mm else {}))
    return out.getvalue()


def _write_sheet(out: Path, picture: "NDArray[uint8]", size_mm: tuple[float, float], text: str) -> None:
    """Write a picture of `size_mm` in true millimetres: as a page with a ruler, or as a PNG that knows its dots."""
    kind = out.suffix.lower()
    if kind not in {".pdf", ".png"}:
        raise typer.BadParameter("must end in .pdf or .png", param_hint="--out")
    if kind == ".png":
        import numpy as np

        out.write_bytes(_png(np.pad(picture, 10 * _PX_PER_MM, constant_values=255), _PX_PER_MM))
        return
    from fpdf import FPDF

    wide, high = size_mm
    fits = [sheet for sheet in _SHEETS.values() if wide <= sheet[0] - 16 and high <= sheet[1] - 30]
    if not fits:
        raise typer.BadParameter(f"{wide:.0f} x {high:.0f} mm fit on no A3 sheet: write a .png", param_hint="--out")
    paper = fits[0]
    pdf = FPDF(unit="mm", format=(paper[1], paper[0]), orientation="L")
    pdf.set_auto_page_break(auto=False)
    pdf.set_creator("Guoyuan")
    pdf.add_page()
    left, top = (paper[0] - wide) / 2, (paper[1] - 12 - high) / 2
    pdf.image(io.BytesIO(_png(picture)), x=left, y=top, w=wide, h=high)
    pdf.set_font("Helvetica", "", 7)
    pdf.text(12, paper[1] - 6, text)
    pdf.set_line_width(0.2)
    pdf.line(12, paper[1] - 11, 112, paper[1] - 11)
    pdf.line(12, paper[1] - 12.5, 12, paper[1] - 9.5)
    pdf.line(112, paper[1] - 12.5, 112, paper[1] - 9.5)
    pdf.text(114, paper[1] - 10, "100.0 mm: measure it on the print")
    out.write_bytes(bytes(pdf.output()))


def _card_text(card: "Card") -> str:
    """Return the card as TOML."""
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in (
            ("id", card.id),
            ("edition", card.edition),
            ("source", card.source),
            ("illuminant", card.illuminant),
            ("columns", card.columns),
            ("rows", card.rows),
            ("across_mm", card.across_mm),
            ("down_mm", card.down_mm),
        )
    ]
    patches = [
        f"  {{ name = {json.dumps(each.name, ensure_ascii=False)}, lab = {json.dumps(list(each.lab))} }},"
        for each in card.patches
    ]
    return "\n".join([*lines, "patches = [", *patches, "]", ""])


def _tell(text: str, *, is_quiet: bool) -> None:
    if not is_quiet:
        typer.echo(text)


def _lens_text(lens: Any) -> str:
    return f"corners within {lens.error_milli_px / 1000:.2f} px in {lens.views} photographs"


def _facts(profile: "CameraProfile") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(profile.data)
    return {**document, "digest": profile.digest.hex()}


def _say_profile(profile: "CameraProfile") -> None:
    from ledger.kernel.clock import format_time

    width, height = profile.size
    rows = table("what", "value")
    rows.add_row("camera", f"{profile.name}, {width} x {height}" if width else f"{profile.name}, any size")
    rows.add_row("scale on the belt", f"{profile.mm_per_px:.4f} mm per pixel")
    rows.add_row("height above the belt", f"{profile.camera_height_um / 1000:.1f} mm")
    if profile.lens is not None:
        rows.add_row("lens", f"focal length {profile.lens.focal_milli_px[0] / 1000:.1f} px, {_lens_text(profile.lens)}")
    if profile.plane is not None:
        tilt, error_mm = profile.plane.tilt_centideg / 100, profile.plane.error_um / 1000
        rows.add_row("belt", f"the camera leaned {tilt:.1f} degrees; corners within {error_mm:.2f} mm")
    if profile.colour is not None:
        before, after, worst = (
            each / 100 for each in (profile.colour.before_centi, profile.colour.after_centi, profile.colour.worst_centi)
        )
        rows.add_row(
            "colour", f"{profile.colour.card}: CIEDE2000 {before:.1f} before, {after:.1f} after, worst {worst:.1f}"
        )
    if profile.light is not None:
        rows.add_row("light", f"level {profile.light.exposure}, sharpness {profile.light.sharpness_permille} permille")
    rows.add_row("holds", f"{format_time(profile.made_at)} to {format_time(profile.valid_until)}")
    say(rows)
    say(f"sha256 {profile.digest.hex()}")


def _say_light(source: "Source", watching: "Watch", shots: int, every_s: float, *, as_json: bool) -> None:
    light: Light | None = watching.light
    troubles = watching.troubles
    if as_json:
        typer.echo(json.dumps(_light_facts(source, light, troubles, shots / every_s), ensure_ascii=False))
        return
    if light is None:
        typer.echo(f"{source.state}: {source.trouble or 'no picture yet'}")
        return
    blue, green, red = light.belt
    typer.echo(
        f"{source.state} {shots / every_s:5.1f}/s  sharpness {light.sharpness_permille:4d}  level {light.exposure:3d}  "
        f"clipped {light.clipped_permille:3d}  dark {light.dark_permille:3d}  belt r{red} g{green} b{blue}  "
        + ("; ".join(each.text.en for each in troubles) or "good")
    )


def _light_facts(source: "Source", light: Any, troubles: Sequence[Any], fps: float) -> dict[str, Any]:
    return {
        "source": {
            "name": source.name,
            "state": source.state,
            "fps": round(fps, 1),
            "dropped": source.dropped,
            "skipped": dict(source.skipped),
            "trouble": source.trouble,
        },
        "light": None
        if light is None
        else {
            "sharpness_permille": light.sharpness_permille,
            "exposure": light.exposure,
            "clipped_permille": light.clipped_permille,
            "dark_permille": light.dark_permille,
            "belt": list(light.belt),
            "white_shift_permille": light.white_shift_permille,
        },
        "troubles": [
            {
                "kind": each.kind,
                "value": each.value,
                "limit": each.limit,
                "text": {"zh": each.text.zh, "en": each.text.en},
            }
            for each in troubles
        ],
    }
