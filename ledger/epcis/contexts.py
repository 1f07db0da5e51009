"""JSON-LD contexts from a local allow-list: what prefixes and bare words mean. Pure, and never the network.

Of JSON-LD 1.1, EPCIS documents need three things: prefixes (`example:myField`), the words that stand for CBV and
GS1 Web Vocabulary URIs (`shipping`), and the name of the official context. Everything else is refused by name,
because a term that is silently not understood would vanish from what is hashed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.epcis import words
from ledger.errors import EventError, UnknownContextError
from ledger.events import Json
from ledger.vocabulary import CONTEXT, GY

CBVMDA: Final = "urn:epcglobal:cbv:mda:"

OFFICIAL_CONTEXTS: Final = frozenset(
    f"{scheme}://{name}"
    for scheme in ("https", "http")
    for name in (
        "ref.gs1.org/standards/epcis/epcis-context.jsonld",
        "ref.gs1.org/standards/epcis/2.0/epcis-context.jsonld",
        "ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "ref.gs1.org/standards/epcis/2.0.1/epcis-context.jsonld",
        "gs1.github.io/EPCIS/epcis-context.jsonld",
    )
)
"""Every name under which the EPCIS 2.0 context is published. They say the same."""

_OFFICIAL_PREFIXES: Final[Mapping[str, str]] = {
    "epcis": "https://ref.gs1.org/epcis/",
    "cbv": "https://ref.gs1.org/cbv/",
    "cbvmda": CBVMDA,
    "gs1": "https://gs1.org/voc/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dcterms": "http://purl.org/dc/terms/",
}
"""The prefixes of the official context (facts of EPCIS 2.0, section 10.1)."""

_HARMLESS: Final = frozenset({"@version", "@protected", "@base", "@language"})
"""Keywords of an inline context that change nothing of what is read here."""

_KEYS_KEPT: Final = 1000
_LONGEST_KEPT: Final = 256
"""How many keys a context remembers, and of what length: a hostile document must not fill the memory with them."""

_ABSOLUTE: Final = ("https://", "http://", "urn:")
"""How an IRI begins, whatever prefixes a document declares: the first two by JSON-LD, the third for safety."""

_NOT_DELIMITED: Final = re.compile(r"[^:/?#\[\]@]\Z")
_SPLIT: Final = re.compile(r"(.*[:/?#\[\]@])([^:/?#\[\]@]*)", re.DOTALL)
_SCHEME_ALONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One list of standard words: the URI, the older URN and the words that stand for it bare."""

    uri: str
    urn: str
    words: frozenset[str]

    def bare(self, iri: str) -> str:
        """Return the bare word of a URI or URN; a URN of an unknown word as its URI; anything else unchanged."""
        word = iri
        if iri.startswith(self.uri):
            word = iri[len(self.uri) :]
        elif self.urn and iri.startswith(self.urn):
            word = iri[len(self.urn) :]
            iri = self.uri + word
        return word if word in self.words else iri

    def full(self, word: str) -> str:
        """Return the URI of a bare word; anything else unchanged."""
        return self.uri + word if word in self.words else word


_CBV: Final = "https://ref.gs1.org/cbv/"
_URN: Final = "urn:epcglobal:cbv:"
BIZ_STEP: Final = Vocabulary(_CBV + "BizStep-", _URN + "bizstep:", frozenset(words.BIZ_STEPS))
DISPOSITION: Final = Vocabulary(_CBV + "Disp-", _URN + "disp:", frozenset(words.DISPOSITIONS))
TRANSACTION_TYPE: Final = Vocabulary(_CBV + "BTT-", _URN + "btt:", frozenset(words.TRANSACTION_TYPES))
PARTY_TYPE: Final = Vocabulary(_CBV + "SDT-", _URN + "sdt:", frozenset(words.SOURCE_DESTINATION_TYPES))
ERROR_REASON: Final = Vocabulary(_CBV + "ER-", _URN + "er:", frozenset(words.ERROR_REASONS))
COMPONENT: Final = Vocabulary(_CBV + "Comp-", "", frozenset(words.COMPONENTS))
MEASUREMENT: Final = Vocabulary("https://gs1.org/voc/", "", frozenset(words.MEASUREMENTS))
SENSOR_ALERT: Final = Vocabulary("https://gs1.org/voc/", "", frozenset(words.SENSOR_ALERTS))


@dataclass(frozen=True, slots=True)
class Context:
    """What the prefixes and terms of a document mean."""

    declared: Mapping[str, str] = field(default_factory=dict)
    """The prefixes and terms of the document's own inline contexts."""
    _keys: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, value: Json, path: str = "$.@context") -> "Context":
        """Return the context that a document's `@context` describes; without one, the context of our own entries.

        Raises UnknownContextError, naming it and its path, for a context that is not on the list above.
        """
        if value is None:
            return ENTRY_CONTEXT
        return _read(value, path, {})

    def within(self, value: Json, path: str = "$.@context") -> "Context":
        """Return this context with an event's own `@context` on top. Raises UnknownContextError."""
        return self if value is None else _read(value, path, dict(self.declared))

    def expand(self, term: str) -> str:
        """Return the IRI of a CURIE or of a declared term; an IRI or any other word unchanged."""
        if term.startswith(_ABSOLUTE):
            return term
        prefix, colon, local = term.partition(":")
        if not colon:
            return self.declared.get(term, term)
        if local.startswith("//"):
            return term
        namespace = self.declared.get(prefix) or _OFFICIAL_PREFIXES.get(prefix)
        return term if namespace is None else namespace + local

    def literal(self, text: str) -> str:
        """Return extension text, expanded where it is a CURIE in a prefix that the document itself declares.

        The reference generator of event hashes reads such text as a CURIE, and twins in XML spell it out.
        """
        prefix, colon, local = text.partition(":")
        if not colon or local.startswith("//"):
            return text
        namespace = self.declared.get(prefix)
        return text if namespace is None or any(c.isspace() for c in text) else namespace + local

    def key(self, name: str) -> str:
        """Return the one spelling of an extension field: its full IRI, or `gy:...` and `cbvmda:...` for ours.

        A name space that ends in no delimiter is no JSON-LD prefix, yet in use; it is kept apart from the local
        name by `#` (a URN) or `?#`, so that `namespaced` can tell them apart again. Raises EventError for `gy:`
        that the document does not declare: it would pass for ours.
        """
        known = self._keys.get(name)
        if known is None:
            known = self._key(name)
            if len(self._keys) < _KEYS_KEPT and len(name) <= _LONGEST_KEPT:
                self._keys[name] = known
        return known

    def _key(self, name: str) -> str:
        prefix, _, local = name.partition(":")
        if not local.startswith("//"):
            namespace = self.declared.get(prefix) or _OFFICIAL_PREFIXES.get(prefix)
            if namespace is not None:
                name = _join(namespace, local)
            elif prefix == "gy":
                raise EventError(f"$.{name}", "has a prefix that the document's @context does not declare")
        if name.startswith(GY):
            return "gy:" + name[len(GY) :]
        if name.startswith(CBVMDA):
            return "cbvmda:" + name[len(CBVMDA) :]
        return name


def namespaced(key: str) -> tuple[str, str]:
    """Return name space and local name of a normal key (see Context.key); `("", key)` for one without either."""
    if key.startswith("gy:"):
        return GY, key[3:]
    if key.startswith("cbvmda:"):
        return CBVMDA, key[7:]
    found = _SPLIT.fullmatch(key)
    if found is None or _SCHEME_ALONE.fullmatch(found[1]):
        return "", key
    namespace, local = found[1], found[2]
    if namespace.endswith("?#"):
        namespace = namespace[:-2]
    elif namespace.startswith("urn:") and namespace.endswith("#"):
        namespace = namespace[:-1]
    return namespace, local


def _join(namespace: str, local: str) -> str:
    if not _NOT_DELIMITED.search(namespace):
        return namespace + local
    return f"{namespace}{'#' if namespace.startswith('urn:') else '?#'}{local}"


def _read(value: Any, path: str, declared: dict[str, str]) -> Context:
    for i, part in enumerate(value if isinstance(value, list) else [value]):
        where = f"{path}[{i}]" if isinstance(value, list) else path
        if isinstance(part, dict):
            _declare(part, where, declared)
        elif not (isinstance(part, str) and part in OFFICIAL_CONTEXTS):
            raise UnknownContextError(where, part)
    return Context(declared)


def _declare(part: Mapping[str, Any], path: str, declared: dict[str, str]) -> None:
    for term, meaning in part.items():
        iri = meaning.get("@id") if isinstance(meaning, dict) else meaning
        if term in _HARMLESS:
            continue
        if term.startswith("@") or not isinstance(iri, str) or iri.startswith("@"):
            raise UnknownContextError(f"{path}.{term}", meaning)
        if isinstance(meaning, dict) and meaning.keys() - {"@id", "@type", "@container", "@prefix", "@protected"}:
            raise UnknownContextError(f"{path}.{term}", meaning)
        declared[term] = iri
    for term in part:
        if term in declared:
            declared[term] = _resolved(declared[term], declared)


def _resolved(iri: str, declared: Mapping[str, str]) -> str:
    """Expand a meaning that is itself a CURIE, such as `gy:btt/`; a few steps are enough for any honest one."""
    for _ in range(4):
        prefix, colon, local = iri.partition(":")
        namespace = declared.get(prefix) or _OFFICIAL_PREFIXES.get(prefix)
        if not colon or local.startswith("//") or namespace is None or namespace == iri:
            break
        iri = namespace + local
    return iri


ENTRY_CONTEXT: Final = _read(list(CONTEXT), "$.@context", {})
"""The context of every entry of our log, and of an event that names none."""
