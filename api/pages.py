"""Pages: templates of the four sites, the language a visitor reads, security headers, static files.

`render(request, "farmer/today.html", ...)` finds `api/web/farmer/templates/today.html`. Templates get
`t("key", n=3)`, the filters of `api.i18n.Speech` (`{{ mass_g|kg }}`, `{{ moment|clock }}`),
`asset("farmer/today.js")`, `json_block("id", value)` and `messages_json("farmer.js.")`.
Nothing on a page comes from elsewhere: no third-party file, no inline script, no inline style.
"""

import gzip
import json
import mimetypes
from collections.abc import Mapping
from functools import cache, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from api.i18n import HTML_LANG, LANGUAGES, WEB, Speech, choose_language, speech
from ledger.kernel.settings import Settings
from ledger.lookup import Lookup, ask_yourself, is_private

SITES: Final = ("shared", "account", "consumer", "farmer", "station", "line", "host", "recall")
LANGUAGE_COOKIE: Final = "lang"
_YEAR_S: Final = 365 * 24 * 3600
_SPEECH_FILTERS: Final = (
    "number", "kg", "kg_number", "grams", "yuan", "area", "span", "celsius", "celsius_number",
    "clock", "day", "day_short", "day_full", "moment", "moment_full",
)  # fmt: skip
_TEXT_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_COMPRESSED: Final = frozenset({".js", ".css", ".svg", ".json", ".txt", ".webmanifest"})


# --- pages ---------------------------------------------------------------------------------------


def render(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """Return a page in the visitor's language, with the security headers every page carries.

    `?lang=` answers in that language and remembers it for a year.
    """
    response = HTMLResponse(page(request, template, status=status, **context), status_code=status)
    return finish(request, response, headers)


def finish(request: Request, response: HTMLResponse, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    """Return the response with security headers, the language remembered and any headers of its own."""
    response.headers.update(security_headers(settings_of(request)))
    response.headers["cache-control"] = "private, no-cache"
    response.headers["vary"] = "Accept-Language, Cookie, Accept"
    response.headers["content-language"] = HTML_LANG[language(request)]
    response.headers.update(headers or {})
    asked = request.query_params.get("lang")
    if asked in LANGUAGES and request.cookies.get(LANGUAGE_COOKIE) != asked:
        response.set_cookie(LANGUAGE_COOKIE, asked, max_age=_YEAR_S, samesite="lax", path="/")
    return response


def page(request: Request, template: str, **context: Any) -> str:
    """Return a page as text."""
    settings = settings_of(request)
    values: dict[str, Any] = {
        "request": request,
        "path": request.url.path,
        "speech": speech_of(request),
        "lang": language(request),
        "html_lang": HTML_LANG[language(request)],
        "is_sample": settings.is_sample,
        "zone": settings.time_zone,
        "theme": None,
        "language_links": _language_links(request),
        "lookup": partial(lookup, settings),
    }
    return environment().get_template(template).render(values | context)


def lookup(settings: Settings, chain_id: int, contract: str) -> dict[str, Any]:
    """Return how a visitor sees a contract without asking us: a page of somebody else's, or one call to any node."""
    there = Lookup.of(chain_id, contract, explorer=settings.explorer_url)
    return {
        "url": there.contract_url,
        "explorer": there.explorer,
        "is_private": is_private(chain_id),
        "command": ask_yourself(contract, settings.log_origin, url=settings.chain_door),
    }


def language(request: Request) -> str:
    """Return `zh` or `en`: what `?lang=` asks, the cookie remembers or the browser prefers."""
    return choose_language(
        request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language")
    )


def speech_of(request: Request) -> Speech:
    """Return the visitor's language in the farm's time zone."""
    return speech(language(request), settings_of(request).time_zone)


def settings_of(request: Request) -> Settings:
    """Return the installation's settings from the application's runtime."""
    settings: Settings = request.app.state.runtime.settings
    return settings


def wants_page(request: Request) -> bool:
    """Return whether the visitor is a browser that shows pages, not a program that reads JSON."""
    accept = request.headers.get("accept", "")
    return "text/html" in accept and not request.url.path.startswith("/api/")


def security_headers(settings: Settings) -> dict[str, str]:
    """Return the headers of every page: nothing inline, nothing from strangers, never framed."""
    chain = urlsplit(settings.public_chain_url)
    elsewhere = f" {chain.scheme}://{chain.netloc}" if chain.netloc else ""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "connect-src": "'self'" + elsewhere,
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "permissions-policy": "camera=(self), geolocation=(self), microphone=(), payment=(), usb=()",
        "cross-origin-opener-policy": "same-origin",
    }


@cache
def environment() -> Environment:
    """Return the one Jinja environment: autoescaping, and loud about names nobody passed."""
    env = Environment(
        loader=PrefixLoader({site: FileSystemLoader(WEB / site / "templates") for site in SITES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(
        t=_t, t_word=_t_word, asset=asset, json_block=json_block, messages_json=_messages_json, languages=LANGUAGES
    )
    for name in _SPEECH_FILTERS:
        env.filters[name] = _speech_filter(name)
    return env


@pass_context
def _t(context: Context, key: str, **params: object) -> Markup:
    spoken: Speech = context["speech"]
    return spoken.html(key, **params)


@pass_context
def _t_word(context: Context, prefix: str, value: str) -> str:
    spoken: Speech = context["speech"]
    return spoken.word(prefix, value)


@pass_context
def _messages_json(context: Context, *prefixes: str) -> Markup:
    spoken: Speech = context["speech"]
    found: dict[str, str] = {}
    for prefix in ("shared.js.", *prefixes):
        found.update(spoken.messages(prefix))
    return json_block("messages", found)


def json_block(name: str, value: object) -> Markup:
    """Return a data block that a module reads with `pageData(name)`; browsers never run it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # "</script" and "<!--" must not appear inside, whatever the data are.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(f'<script type="application/json" id="{name}">{safe}</script>')  # noqa: S704  # escaped above


def _speech_filter(name: str) -> Any:
    @pass_context
    def apply(context: Context, value: Any, *args: Any) -> str:
        return str(getattr(context["speech"], name)(value, *args))

    return apply


def _language_links(request: Request) -> list[tuple[str, str, str]]:
    names = {"zh": "中文", "en": "English"}
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "lang"]
    return [(lang, names[lang], "?" + urlencode([*kept, ("lang", lang)])) for lang in LANGUAGES]


# --- static files --------------------------------------------------------------------------------


def asset(path: str) -> str:
    """Return the address of `site/file` with a fingerprint, so that it may be cached for ever.

    For entry scripts, style sheets and pictures; modules import each other by plain `/web/...` names.
    """
    found = _static(path)
    return f"/web/{path}?v={found.etag[:10]}" if found else f"/web/{path}"


def mount_static(app: FastAPI) -> None:
    """Serve `api/web/<site>/static/**` under `/web/<site>/...`, compressed and revalidated."""
    app.add_api_route("/web/{path:path}", _serve, methods=["GET", "HEAD"], include_in_schema=False)


class _Static:
    """One static file in memory, plain and compressed."""

    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        self.etag = sha256(self.body).hexdigest()[:32]
        self.media_type = (
            _TEXT_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        )
        self.packed = gzip.compress(self.body, 9, mtime=0) if path.suffix in _COMPRESSED else None


@lru_cache(maxsize=512)
def _load(path: Path, _changed_ns: int) -> _Static:
    return _Static(path)


def _static(path: str) -> _Static | None:
    site, _, rest = path.partition("/")
    if site not in SITES or not rest:
        return None
    folder = WEB / site / "static"
    file = (folder / rest).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        return None
    return _load(file, file.stat().st_mtime_ns)


def _serve(request: Request, path: str) -> Response:
    found = _static(path)
    if found is None:
        return Response(status_code=404, content="no such file", media_type="text/plain")
    is_fixed = request.query_params.get("v") == found.etag[:10]
    headers = {
        "etag": f'"{found.etag}"',
        "cache-control": "public, max-age=31536000, immutable" if is_fixed else "public, no-cache",
        "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff",
    }
    if path.endswith("sw.js"):
        headers["service-worker-allowed"] = "/"
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.packed, media_type=found.media_type, headers=headers | {"content-encoding": "gzip"})
    return Response(found.body, media_type=found.media_type, headers=headers)
