"""Contexts: a list of names we know, and nothing fetched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.epcis.contexts import BIZ_STEP, CBVMDA, ENTRY_CONTEXT, MEASUREMENT, OFFICIAL_CONTEXTS, Context, namespaced
from ledger.errors import EventError, UnknownContextError
from ledger.vocabulary import GY

OFFICIAL = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"


@pytest.mark.parametrize("name", sorted(OFFICIAL_CONTEXTS))
def test_every_name_of_the_official_context_is_known(name: str) -> None:
    assert Context.of(name) == Context.of([name]) == Context.of([name, {}])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("https://example.com/context.jsonld", "$.@context"),
        (OFFICIAL + "?x", "$.@context"),
        ([OFFICIAL, "file:///etc/passwd"], "$.@context[1]"),
        ([OFFICIAL, ["https://example.com/c"]], "$.@context[1]"),
        ([OFFICIAL, 7], "$.@context[1]"),
        ([OFFICIAL, None], "$.@context[1]"),
        (True, "$.@context"),
        ({"@vocab": "https://example.com/"}, "$.@context.@vocab"),
        ({"@import": "https://example.com/c"}, "$.@context.@import"),
        ({"ex": None}, "$.@context.ex"),
        ({"ex": 1}, "$.@context.ex"),
        ({"id": "@id"}, "$.@context.id"),
        ([{"ex": {"@id": "https://e/", "@context": "https://example.com/c"}}], "$.@context[0].ex"),
    ],
)
def test_an_unknown_context_is_named_with_its_path(value: object, path: str) -> None:
    with pytest.raises(UnknownContextError) as caught:
        Context.of(value)  # type: ignore[arg-type]
    assert caught.value.path == path


def test_a_long_context_is_not_repeated_whole() -> None:
    with pytest.raises(UnknownContextError) as caught:
        Context.of("https://example.com/" + "x" * 10_000)
    assert len(str(caught.value)) < 400


def test_a_context_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(UnknownContextError):
        Context.of([OFFICIAL, "http://localhost/context.jsonld"])


def test_curies_are_expanded_by_the_documents_prefixes_then_by_the_official_ones() -> None:
    context = Context.of([OFFICIAL, {"ex": "https://ns.example.com/epcis/", "deep": "ex:deeper/"}])
    assert context.expand("ex:step") == "https://ns.example.com/epcis/step"
    assert context.expand("deep:step") == "https://ns.example.com/epcis/deeper/step"
    assert context.expand("cbv:BizStep-shipping") == "https://ref.gs1.org/cbv/BizStep-shipping"
    assert context.expand("gs1:Temperature") == "https://gs1.org/voc/Temperature"
    assert context.expand("https://example.com/a") == "https://example.com/a"
    assert context.expand("urn:uuid:1") == "urn:uuid:1"
    assert context.expand("shipping") == "shipping"


def test_text_of_an_extension_is_expanded_only_by_a_prefix_that_the_document_declares() -> None:
    context = Context.of([OFFICIAL, {"ex": "https://ns.example.com/"}])
    assert context.literal("ex:a") == "https://ns.example.com/a"
    assert context.literal("gs1:Temperature") == "gs1:Temperature"
    assert context.literal("ex: and then some words") == "ex: and then some words"


def test_a_meaning_that_turns_in_circles_ends() -> None:
    context = Context.of([OFFICIAL, {"a": "b:", "b": "a:", "c": "c:c"}])
    assert isinstance(context.expand("a:x"), str)
    assert isinstance(context.expand("c:x"), str)


def test_our_own_fields_keep_our_prefixes_whatever_prefix_they_came_under() -> None:
    context = Context.of([OFFICIAL, {"their": GY, "m": CBVMDA}])
    assert context.key("their:sentence") == "gy:sentence" == ENTRY_CONTEXT.key("gy:sentence")
    assert context.key(GY + "sentence") == "gy:sentence"
    assert context.key("m:lotNumber") == context.key("cbvmda:lotNumber") == "cbvmda:lotNumber"


def test_our_prefix_undeclared_does_not_pass_for_ours() -> None:
    with pytest.raises(EventError, match="does not declare"):
        Context.of(OFFICIAL).key("gy:sentence")
    declared = Context.of([OFFICIAL, {"gy": "https://elsewhere.example/"}])
    assert declared.key("gy:sentence") == "https://elsewhere.example/sentence"


@pytest.mark.parametrize(
    "space",
    [
        "https://ns.example.com/epcis/",
        "https://ns.example.com/epcis",
        "https://ns.example.com/epcis#",
        "http://ns.example.com/v?x=",
        "urn:epcglobal:cbv:mda",
        "urn:example:",
        "did:example:",
        CBVMDA,
        GY,
    ],
)
def test_a_full_name_can_be_taken_apart_into_its_name_space_and_itself(space: str) -> None:
    context = Context.of([OFFICIAL, {"p": space}])
    assert namespaced(context.key("p:field")) == (
        space.removesuffix("#") if space == "urn:example#" else space,
        "field",
    )


def test_two_name_spaces_never_give_one_name() -> None:
    spaces = ["https://a.example/b", "https://a.example/b/", "https://a.example/b#", "urn:x", "urn:x:"]
    keys = {Context.of([OFFICIAL, {"p": space}]).key("p:field") for space in spaces}
    assert len(keys) == len(spaces)


@given(st.sampled_from(sorted(BIZ_STEP.words)))
def test_a_word_and_its_uri_and_its_urn_are_one(word: str) -> None:
    assert BIZ_STEP.bare(BIZ_STEP.full(word)) == word
    assert BIZ_STEP.bare(BIZ_STEP.urn + word) == word


def test_an_unknown_word_keeps_its_uri() -> None:
    assert BIZ_STEP.bare("urn:epcglobal:cbv:bizstep:dancing") == "https://ref.gs1.org/cbv/BizStep-dancing"
    assert BIZ_STEP.full("dancing") == "dancing"
    assert MEASUREMENT.bare("https://gs1.org/voc/Dancing") == "https://gs1.org/voc/Dancing"
