"""Pages in two languages: messages that are equals, headers that trust nobody, static files that revalidate."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request

from api import pages
from api.i18n import LANGUAGES, WEB, MissingMessageError, choose_language, placeholders, speech
from ledger.kernel.settings import Environment, Settings

from .conftest import TestClient

SITES = sorted(path.parent for path in WEB.glob("*/messages"))
TEMPLATES = sorted(WEB.glob("*/templates/**/*.html"))
SCRIPTS = sorted(p for p in WEB.glob("*/static/**/*.js") if "vendor" not in p.parts)
DYNAMIC = re.compile(r"""\b(?:t|has)\(\s*["']([\w.\- ]+\.)["']\s*(?:~|\+)|\bt\(\s*`([\w.\-]+\.)\$\{""")
FIXED = re.compile(r"""\bt\(\s*["'`]([\w.\- ]+[\w])["'`]\s*[,)]""")


def messages(site: Path, lang: str) -> dict[str, str]:
    return json.loads((site / "messages" / f"{lang}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_both_languages_say_the_same_things_of_the_same_values(site: Path) -> None:
    zh, en = (messages(site, lang) for lang in LANGUAGES)
    plain = {lang: {k for k in found if not k.endswith(".one")} for lang, found in (("zh", zh), ("en", en))}
    assert plain["zh"] == plain["en"]
    assert {k: placeholders(zh[k]) for k in plain["zh"]} == {k: placeholders(en[k]) for k in plain["en"]}


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_a_singular_belongs_to_a_plural_and_wants_no_more_than_it(site: Path, lang: str) -> None:
    found = messages(site, lang)
    for key in (k for k in found if k.endswith(".one")):
        assert placeholders(found[key]) <= placeholders(found[key.removesuffix(".one")]), key


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_messages_break_no_attribute_and_script_messages_hold_no_markup(site: Path, lang: str) -> None:
    for key, text in messages(site, lang).items():
        assert '"' not in text, f"{key}: a straight quotation mark would end an attribute"
        if ".js." in key:
            assert not re.search(r"[<>&]", text), f"{key}: scripts show text, not markup"


def used_keys() -> Iterator[tuple[Path, str]]:
    for path in (*TEMPLATES, *SCRIPTS):
        for key in FIXED.findall(path.read_text(encoding="utf-8")):
            if "." in key:
                yield path, key


def test_every_message_a_page_asks_for_exists() -> None:
    known = {key for site in SITES for key in messages(site, "zh")}
    missing = sorted({f"{path.relative_to(WEB)}: {key}" for path, key in used_keys() if key not in known})
    assert missing == []


def test_every_consumer_message_is_asked_for() -> None:
    """A message nobody shows is a message nobody corrects."""
    site = WEB / "consumer"
    text = "".join(
        p.read_text(encoding="utf-8")
        for p in (*TEMPLATES, *SCRIPTS, *WEB.parent.glob("*.py"), *WEB.parent.glob("routers/*.py"))
    )
    prefixes = {a or b for a, b in DYNAMIC.findall(text)}
    prefixes |= {f"{name}." for name in re.findall(r"""t_word\(["']([\w.]+)["']""", text)}
    prefixes |= {f"consumer.js.{name}." for name in re.findall(r"""_word\("([\w-]+)"\)""", text)}
    unused = [
        key
        for key in messages(site, "zh")
        if not key.endswith(".one")
        and not re.search(rf"""["'`]{re.escape(key)}["'`]""", text)
        and not key.startswith(tuple(prefixes))
    ]
    assert unused == []


def test_no_page_carries_inline_script_or_style() -> None:
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text), path
        assert not re.search(r"<style|\sstyle=|\son(click|load|error|submit)=", text), path
        assert not re.search(r"(?:src|href)=[\"']https?://(?!id\.gs1\.org)", text), f"{path} loads from elsewhere"


def test_every_icon_a_page_draws_is_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="([\w-]+)"', (WEB / "shared/static/icons.svg").read_text(encoding="utf-8")))
    for path in (*TEMPLATES, *SCRIPTS):
        used = set(re.findall(r"""\bicon\(\s*["']([\w-]+)["']""", path.read_text(encoding="utf-8")))
        assert used <= known, f"{path}: {used - known}"


@pytest.mark.parametrize(
    ("query", "cookie", "accept", "expected"),
    [
        (None, None, None, "zh"),
        (None, None, "fr-FR, de;q=0.9", "zh"),
        (None, None, "en-GB,en;q=0.9,zh;q=0.8", "en"),
        (None, None, "en;q=0.3, zh-CN;q=0.8", "zh"),
        (None, None, "zh;q=0, en", "en"),
        (None, "en", "zh", "en"),
        ("zh", "en", "en", "zh"),
        ("xx", "en", None, "en"),
    ],
)
def test_language_is_asked_for_then_remembered_then_preferred(
    query: str | None, cookie: str | None, accept: str | None, expected: str
) -> None:
    assert choose_language(query, cookie, accept) == expected


def test_speech_writes_quantities_and_times_of_the_farm() -> None:
    zh, en = speech("zh", "Asia/Shanghai"), speech("en", "Asia/Shanghai")
    moment = datetime(2026, 11, 17, 22, 42, tzinfo=UTC)
    said = [
        zh.moment(moment),
        en.moment(moment),
        en.day(moment),
        zh.day_full(date(2026, 5, 2)),
        zh.span(84),
        en.span(84),
    ]
    assert [text.replace("\xa0", " ") for text in said] == [
        "11 月 18 日 06:42", "18 Nov 06:42", "18 November", "2026 年 5 月 2 日", "1 小时 24 分", "1 h 24 min",
    ]  # fmt: skip
    assert [zh.kg(2310), zh.kg(1_234_500), en.yuan(4990), zh.area(6400), en.area(6400), zh.celsius(13.25)] == [
        "2.31\xa0kg", "1,234.5\xa0kg", "¥49.90", "9.6\xa0亩", "0.64\xa0ha", "13.3\xa0°C",
    ]  # fmt: skip
    assert zh.moment_full(moment) == "2026-11-18 06:42:00 +08:00"


def test_a_message_escapes_what_is_put_into_it() -> None:
    assert speech("en", "UTC").html("consumer.unknown.try", code="<b>") == "Look up &lt;b&gt;"


def test_an_unknown_message_is_an_error_and_not_a_blank() -> None:
    with pytest.raises(MissingMessageError, match=r"no\.such"):
        speech("zh", "UTC").text("no.such")


@pytest.fixture
def visitor(tmp_path: Path) -> TestClient:
    app = FastAPI()
    app.state.runtime = SimpleNamespace(
        settings=Settings(
            home=tmp_path, environment=Environment.DEMO, public_chain_url="https://node.example/v1?key=secret"
        )
    )
    pages.mount_static(app)

    @app.get("/wrong")
    def wrong(request: Request):  # type: ignore[no-untyped-def]
        return pages.render(request, "shared/error.html", status=404, detail="a < b", code="not_here")

    return TestClient(app)


def test_a_page_trusts_nobody(visitor: TestClient) -> None:
    answer = visitor.get("/wrong")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' https://node.example"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "a &lt; b" in answer.text


def test_sample_data_are_called_samples_on_every_page(visitor: TestClient) -> None:
    assert "示例数据" in visitor.get("/wrong").text
    assert "Sample data" in visitor.get("/wrong?lang=en").text


def test_a_language_asked_for_is_remembered_and_keeps_the_rest_of_the_address(visitor: TestClient) -> None:
    answer = visitor.get("/wrong?a=1&lang=en")
    assert '<html lang="en"' in answer.text
    assert 'href="?a=1&amp;lang=zh"' in answer.text
    assert "lang=en" in answer.headers["set-cookie"]
    assert '<html lang="en"' in visitor.get("/wrong").text


def test_static_files_are_compressed_and_revalidated(visitor: TestClient) -> None:
    first = visitor.get("/web/shared/kit.js")
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["content-type"].startswith("text/javascript")
    assert "no-cache" in first.headers["cache-control"]
    assert visitor.get("/web/shared/kit.js", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    fixed = visitor.get(pages.asset("shared/base.css"))
    assert "immutable" in fixed.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/web/shared/%2e%2e/templates/base.html",
        "/web/pages.py",
        "/web/consumer/none.js",
        "/web/shared/",
        "/web/etc/passwd",
    ],
)
def test_only_static_files_are_served(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).status_code == 404


def test_a_data_block_cannot_end_early() -> None:
    block = pages.json_block("page", {"text": "</script><!-- \u2028"})
    assert block.count("</script>") == 1
    assert json.loads(block.partition(">")[2].removesuffix("</script>"))["text"].startswith("</script>")


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_shipped_standard_has_its_name_on_the_consumer_page(lang: str) -> None:
    named = messages(WEB / "consumer", lang)
    shipped = [path.stem for path in (WEB.parent.parent / "grading" / "standards").glob("*-*.toml")]
    shipped.remove("tiers-sample")  # a price book
    assert [name for name in shipped if f"consumer.js.standard.{name}" not in named] == []
