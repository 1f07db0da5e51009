"""Weights are run only if they are what their card says; what they find is the same every time."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from grading.camera import decode
from grading.detect import Detection
from grading.errors import ModelFileError
from grading.learned import MAX_WEIGHTS, LearnedDetector, Model, find, load_model, shipped
from tests.grading.conftest import tray
from tests.grading.tiny_network import card, network

REDDISH = (25.0, -25.0, -25.0)
"""Mask weights: sure of what is redder than it is green and blue together."""


def row(box: tuple[int, int, int, int], score: float, kind: int) -> tuple[float, ...]:
    return (*box, score, kind, *REDDISH)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Sure of a tomato in the middle, unsure of an orange left of it, with a coin in the corner."""
    rows = [
        row((24, 24, 40, 40), 0.7, 2),
        row((24, 24, 40, 41), 0.2, 1),
        row((4, 24, 16, 36), 0.08, 1),
        row((4, 24, 16, 36), 0.06, 2),
        row((50, 16, 56, 22), 0.6, 0),
        row((40, 40, 60, 60), 0.05, 1),
    ]
    return load_model(card(tmp_path, network(np.array(rows))))


def picture(width: int = 640, height: int = 640) -> np.ndarray:
    """Two red discs on grey where the network says there is something, for a square picture."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    for centre, radius in (((320, 320), 70), ((100, 300), 50)):
        cv2.circle(pixels, centre, radius, (30, 40, 220), -1, cv2.LINE_AA)
    return pixels


def test_what_may_be_two_kinds_is_one_thing_and_surer_for_it(model: Model) -> None:
    found = find(picture(), model)
    assert [(each.kind, each.score_permille, each.kind_permille) for each in found] == [
        ("tomato", 900, 778),
        ("coin", 600, 1000),
        ("orange", 140, 571),
    ]
    assert found[0].box == pytest.approx((240, 240, 400, 400), abs=1e-3)


def whole_red() -> np.ndarray:
    return np.full((640, 640, 3), (30, 40, 220), np.uint8)


@pytest.mark.parametrize(
    ("other", "kinds"),
    [
        (row((27, 27, 36, 36), 0.5, 1), ["tomato"]),  # a part of the tomato
        (row((8, 24, 24, 40), 0.5, 1), ["tomato", "orange"]),  # its neighbour
        (row((33, 24, 49, 40), 0.5, 1), ["tomato", "orange"]),  # half behind it
        (row((28, 28, 34, 34), 0.5, 0), ["tomato", "coin"]),  # a coin before it
        (row((26, 24, 41, 40), 0.2, 0), ["tomato"]),  # one place is not both
    ],
)
def test_a_part_of_a_fruit_is_no_fruit_and_a_neighbour_is_one(
    tmp_path: Path, other: tuple[float, ...], kinds: list[str]
) -> None:
    model = load_model(card(tmp_path, network(np.array([row((24, 24, 40, 40), 0.9, 2), other]))))
    assert [each.kind for each in find(whole_red(), model)] == kinds


def test_scores_are_what_the_card_makes_of_them_and_coins_keep_their_own(tmp_path: Path) -> None:
    rows = [row((24, 24, 40, 40), 0.5, 2), row((4, 4, 10, 10), 0.5, 0), row((4, 40, 16, 52), 0.05, 1)]
    shy = load_model(card(tmp_path, network(np.array(rows)), slope_permille=1000, offset_permille=1386))
    assert [(each.kind, each.score_permille) for each in find(whole_red(), shy)] == [
        ("tomato", 800),
        ("coin", 500),
        ("orange", 174),
    ]
    plain = load_model(card(tmp_path, network(np.array(rows))))
    assert [each.score_permille for each in find(whole_red(), plain)] == [500, 500]


def test_the_outline_is_near_and_on_request_the_photographs_own(model: Model) -> None:
    pixels = picture()
    for detector, least in ((LearnedDetector(model, finds_edges=True), 0.96), (LearnedDetector(model), 0.80)):
        left, middle = detector.detect(pixels)
        assert (left.kind, middle.kind) == ("orange", "tomato")
        for detection, centre, radius in ((middle, (320, 320), 70), (left, (100, 300), 50)):
            drawn = cv2.circle(np.zeros((640, 640), np.uint8), centre, radius, 1, -1) > 0
            seen = np.zeros((640, 640), bool)
            x, y, w, h = detection.box
            seen[y : y + h, x : x + w] = detection.mask
            assert (seen & drawn).sum() / (seen | drawn).sum() > least
            assert not detection.is_cut


def same(first: list[Detection], second: list[Detection]) -> bool:
    return len(first) == len(second) and all(
        (a.box, a.score_permille, a.kind, a.is_cut) == (b.box, b.score_permille, b.kind, b.is_cut)
        and np.array_equal(a.mask, b.mask)
        and np.array_equal(a.outline, b.outline)
        for a, b in zip(first, second, strict=True)
    )


def test_the_same_pixels_give_the_same_detections_bit_for_bit(model: Model) -> None:
    noise = np.random.default_rng(1).integers(-20, 20, (640, 640, 3))
    pixels = np.clip(picture() + noise, 0, 255).astype(np.uint8)
    for finds_edges in (False, True):
        first = LearnedDetector(model, finds_edges=finds_edges).detect(pixels)
        assert len(first) == 2
        cv2.setRNGSeed(99)
        again = LearnedDetector(load_model(model.path.with_suffix(".toml")), finds_edges=finds_edges)
        assert same(first, again.detect(pixels.copy()))


def test_what_lies_on_the_reference_is_no_fruit(model: Model) -> None:
    left = np.array([[50, 250], [150, 250], [150, 350], [50, 350]], np.float32)
    assert [each.kind for each in LearnedDetector(model).detect(picture(), ignore=[left])] == ["tomato"]


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (360, 1200), (121, 133), (1200, 300)])
def test_pictures_of_any_shape_come_back_to_their_own_pixels(model: Model, width: int, height: int) -> None:
    # The network looks at the middle of a square; here is what lies there in this picture.
    longest = max(width, height)
    pixels = np.full((height, width, 3), 90, np.uint8)
    radius = min(longest // 9, height // 2 - 4, width // 2 - 4)
    cv2.circle(pixels, (width // 2, height // 2), radius, (30, 40, 220), -1, cv2.LINE_AA)
    tomato = next(each for each in LearnedDetector(model, finds_edges=True).detect(pixels) if each.kind == "tomato")
    x, y, w, h = tomato.box
    assert (x + w / 2, y + h / 2) == pytest.approx((width / 2, height / 2), abs=max(2, longest / 100))
    assert (w, h) == pytest.approx((2 * radius, 2 * radius), rel=0.12, abs=4)


@pytest.mark.parametrize("pixels", [
    np.zeros((120, 120, 3), np.uint8),
    np.full((120, 160, 3), 127, np.uint8),
    np.full((480, 640, 3), 255, np.uint8),
    np.random.default_rng(2).integers(0, 256, (300, 200, 3), np.uint8),
    np.full((120, 9000, 3), 60, np.uint8),
    np.full((9000, 1, 3), 60, np.uint8),
])  # fmt: skip
def test_nothing_crashes_where_there_is_nothing(model: Model, pixels: np.ndarray) -> None:
    for finds_edges in (True, False):
        LearnedDetector(model, finds_edges=finds_edges).detect(pixels)


def test_a_fruit_at_the_edge_is_cut(tmp_path: Path) -> None:
    model = load_model(card(tmp_path, network(np.array([row((-4, 20, 12, 44), 0.9, 1)]))))
    pixels = np.full((640, 640, 3), 90, np.uint8)
    cv2.circle(pixels, (20, 320), 100, (30, 40, 220), -1)
    assert [each.is_cut for each in LearnedDetector(model).detect(pixels)] == [True]


def test_the_description_names_weights_and_parameters(model: Model) -> None:
    told = LearnedDetector(model).description
    assert told["weights"] == model.card.sha256
    assert told["name"] == "learned-tiny"
    assert told != LearnedDetector(model, finds_edges=True).description


def tiny() -> bytes:
    return network(np.array([row((24, 24, 40, 40), 0.7, 2)]))


def test_other_weights_than_the_card_names_are_refused(tmp_path: Path) -> None:
    told = card(tmp_path, tiny())
    (tmp_path / "tiny.onnx").write_bytes(tiny()[:-1] + b"\x12")
    with pytest.raises(ModelFileError, match=r"^tiny\.onnx is not the file its card describes: the SHA-256 differs$"):
        load_model(told)


def test_weights_that_are_too_large_are_refused_unread(tmp_path: Path) -> None:
    told = card(tmp_path, tiny())
    with (tmp_path / "tiny.onnx").open("wb") as opened:
        opened.truncate(MAX_WEIGHTS + 1)
    with pytest.raises(ModelFileError, match=r"^tiny\.onnx is larger than 12 MiB$"):
        load_model(told)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    told = card(tmp_path, tiny())
    (tmp_path / "tiny.onnx").unlink()
    with pytest.raises(ModelFileError, match=r"^tiny\.onnx cannot be read \(No such file"):
        load_model(told)
    told.unlink()
    with pytest.raises(ModelFileError, match=r"^tiny\.toml cannot be read \(No such file"):
        load_model(told)


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"no network",
        bytes(range(256)) * 20,
        network(np.zeros((1, 9)), given="pictures"),
        network(np.zeros((1, 9)), side=128),
        network(np.zeros((1, 12))),
    ],
)
def test_what_is_no_network_of_ours_is_refused(tmp_path: Path, weights: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"^tiny\.onnx (cannot be run|has other inputs or outputs)"):
        load_model(card(tmp_path, weights))


def test_a_kind_the_card_does_not_name_is_refused(tmp_path: Path) -> None:
    model = load_model(card(tmp_path, network(np.array([row((24, 24, 40, 40), 0.7, 3)]))))
    with pytest.raises(ModelFileError, match="names a kind that its card does not"):
        find(picture(), model)


def test_what_is_not_a_number_is_no_find(tmp_path: Path) -> None:
    rows = [row((24, 24, 40, 40), float("nan"), 2), row((0, 24, 40, 40), 0.9, 2)]
    rows[1] = (float("inf"), *rows[1][1:])
    assert find(picture(), load_model(card(tmp_path, network(np.array(rows))))) == []


@pytest.mark.parametrize(
    "other",
    [
        {"side": 63},
        {"side": 6400},
        {"classes": []},
        {"least_score_permille": 0},
        {"least_score_permille": "all"},
        {"unknown": 1},
        {"sha256": 5},
    ],
)
def test_a_card_that_says_nonsense_is_refused(tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match=r"^tiny\.toml is no card of a model: "):
        load_model(card(tmp_path, tiny(), **other))


def test_a_card_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"^tiny\.toml names weights in another folder$"):
        load_model(card(tmp_path, tiny(), file="../tiny.onnx"))


@pytest.mark.parametrize("data", [b"\xff\xfe", b"name = ", b""])
def test_a_damaged_card_is_refused(tmp_path: Path, data: bytes) -> None:
    told = card(tmp_path, tiny())
    told.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"^tiny\.toml is no card of a model: "):
        load_model(told)


def test_the_shipped_weights_are_what_their_card_and_report_say() -> None:
    model = shipped()
    told = json.loads((model.path.parent / "fruit.report.json").read_text("utf-8"))
    assert told["model"]["sha256"] == model.card.sha256
    assert told["fruit"]["at_least_score"]["score_permille"] == model.card.least_score_permille
    assert told["fruit"]["at_sure_score"]["score_permille"] == model.card.sure_score_permille
    assert "coin" in model.card.classes
    assert "AGPL-3.0" in model.card.licence


def test_no_weights_of_another_name_are_shipped() -> None:
    with pytest.raises(ModelFileError, match=r"^durian\.toml cannot be read"):
        shipped("durian")


@pytest.mark.parametrize("shade", [0, 127, 255])
def test_the_shipped_weights_survive_pictures_of_nothing(shade: int) -> None:
    for size in ((120, 120), (120, 900), (480, 640)):
        LearnedDetector(shipped()).detect(np.full((*size, 3), shade, np.uint8))


def test_the_shipped_weights_give_the_same_bits_every_time() -> None:
    pixels = decode(tray(7)).pixels
    first = LearnedDetector(shipped()).detect(pixels)
    again = LearnedDetector(load_model(shipped().path.with_suffix(".toml"))).detect(pixels)
    assert same(first, again)
