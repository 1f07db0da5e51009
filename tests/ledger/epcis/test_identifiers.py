"""One spelling for every GS1 identifier."""

import json
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.epcis.identifiers import canonical_identifier
from ledger.kernel.ids import check_digit, parse_digital_link

AI82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def vectors(shared: Path, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((shared / "vectors/extracted-vectors" / name).read_text())
    return found


@pytest.mark.shared
def test_every_vector_of_the_hash_generator_comes_out_as_it_says(shared: Path) -> None:
    cases = vectors(shared, "epcis-event-hash-generator.dl_normalise.json")
    assert len(cases) >= 20
    for case in cases:
        given_text = str(case["input"])
        expected = given_text if case["expected"] is None else case["expected"]
        assert canonical_identifier(given_text) == expected, given_text


@pytest.mark.shared
def test_every_urn_of_the_translator_becomes_its_link_up_to_percent_encoding(shared: Path) -> None:
    cases = [
        case
        for case in vectors(shared, "openepcis-translator.epc_dl_pairs.json")
        if str(case["input"]).startswith("urn:epc:")
    ]
    assert len(cases) >= 20
    for case in cases:
        # The translator writes characters as they are that a URI must escape, `/` among them.
        found, expected = canonical_identifier(str(case["input"])), str(case["expected"])
        assert unquote(found) == unquote(expected), case["input"]
        assert found == expected or any(c in expected for c in "!\"%&'()*+,:;<=>?") or "//" in expected[8:]


@pytest.mark.shared
def test_links_that_the_syntax_engine_takes_and_ours_rewrites_hold_the_same_key(shared: Path) -> None:
    rewritten = 0
    for case in vectors(shared, "gs1-syntax-engine.dl_parse.json"):
        found = canonical_identifier(str(case["uri"]))
        if found != case["uri"] and case["valid"]:
            _, _, host, key, value, *_ = found.split("/")
            assert host == "id.gs1.org"
            assert key + unquote(value) in str(case["ai_element_string"]), case["uri"]
            rewritten += 1
    assert rewritten >= 5


@pytest.mark.parametrize(
    ("urn", "link"),
    [
        ("urn:epc:id:sgtin:0614141.812345.6789%2F%26%25%22!%3F()", "01/80614141123458/21/6789%2F%26%25%22%21%3F%28%29"),
        ("urn:epc:id:sgtin:0614141.812345.a%2fb", "01/80614141123458/21/a%2Fb"),
        ("urn:epc:id:sscc:4012345.3111111111", "00/340123451111111111"),
        ("urn:epc:id:sgln:4012345.00005.0", "414/4012345000054"),
        ("urn:epc:id:sgln:4012345.00005.122", "414/4012345000054/254/122"),
        ("urn:epc:id:sgln:999999999999..7", "414/9999999999994/254/7"),
        ("urn:epc:id:grai:4012345.00022.334455", "8003/04012345000221334455"),
        ("urn:epc:id:giai:4012345.ABC345", "8004/4012345ABC345"),
        ("urn:epc:id:gsrn:4012345.0000006765", "8018/401234500000067657"),
        ("urn:epc:id:gsrnp:4012345.0000000007", "8017/401234500000000074"),
        ("urn:epc:id:gdti:4012345.00009.PO-4711", "253/4012345000092PO-4711"),
        ("urn:epc:id:gdti:987659999999..9", "253/98765999999929"),
        ("urn:epc:id:cpi:0614141.11111111111111-A%23%2F.1234", "8010/061414111111111111111-A%23%2F/8011/1234"),
        ("urn:epc:id:sgcn:4012345.99999.44", "255/401234599999044"),
        ("urn:epc:id:ginc:0614141.xyz47%2F11", "401/0614141xyz47%2F11"),
        ("urn:epc:id:gsin:4012345.222333444", "402/40123452223334442"),
        ("urn:epc:id:itip:4012345.011111.01.02.987", "8006/040123451111180102/21/987"),
        ("urn:epc:id:upui:1234567.098765.51qIgY)%3C%26Jp3*j7'SDB", "01/01234567987651/235/51qIgY%29%3C%26Jp3%2Aj7'SDB"),
        ("urn:epc:id:pgln:999999999999.", "417/9999999999994"),
        ("urn:epc:class:lgtin:4012345.012345.Lot987", "01/04012345123456/10/Lot987"),
        ("urn:epc:idpat:sgtin:4012345.012345.*", "01/04012345123456"),
        ("urn:epc:idpat:upui:4012345.012345.*", "01/04012345123456"),
        ("urn:epc:idpat:grai:4012345.99999.*", "8003/04012345999990"),
        ("urn:epc:idpat:gdti:4012345.11111.*", "253/4012345111118"),
        ("urn:epc:idpat:sgcn:4012345.22222.*", "255/4012345222227"),
        ("urn:epc:idpat:cpi:4012345.ABC.*", "8010/4012345ABC"),
        ("urn:epc:idpat:itip:4012345.012345.01.02.*", "8006/040123451234560102"),
    ],
)
def test_every_scheme_with_a_link_has_it(urn: str, link: str) -> None:
    assert canonical_identifier(urn) == f"https://id.gs1.org/{link}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "urn:epc:",
        "urn:epc:id:sgtin:",
        "urn:epc:id:sgtin:4012345.011111",
        "urn:epc:id:sgtin:4012345.01111.9",
        "urn:epc:id:sgtin:401234x.011111.9",
        "urn:epc:id:sgtin:4012345.011111." + "9" * 21,
        "urn:epc:id:sgtin:4012345.011111.\u4e2d",
        "urn:epc:id:sgtin:\u0664012345.011111.9",
        "urn:epc:idpat:sgtin:4012345.*.*",
        "urn:epc:idpat:sgtin:*.*.*",
        "urn:epc:idpat:sscc:4012345.*",
        "urn:epc:id:adi:W81X9C.3KL984PX1.2WMA52",
        "urn:epcglobal:cbv:bt:0614141073467:1152",
        "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8",
        "geo:50.947573340894124,6.922120147375441",
        "https://example.org/8004",
        "https://example.org/8004/",
        "https://example.org/01/12345",
        "https://example.org/01/09780345418913/10",
        "https://example.org/01/09780345418913/99/x",
        "https://example.org/01/09780345418913/10/1/10/2",
        "https://example.org/01/09780345418913/21/a%20b",
        "https://example.org/01/09780345418913/21/%ff",
        "https://example.org/01/09780345418913#part",
        "https:///01/09780345418913",
        "ftp://example.org/01/09780345418913",
        "https://example.org/class/mango-a/lot/G1",
        "https://example.org/AQnYUc1gmiCNV4JGcaBgpjrZEgEdWgAg",
        "https://example.org/01/09780345418913/21/" + "9" * 5000,
    ],
)
def test_what_names_no_gs1_key_stays_as_it_is(text: str) -> None:
    assert canonical_identifier(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://id.gs1.org/01/09780345418913/21/765tz",
        "HTTPS://example.com:8443/some/where/01/9780345418913/21/765tz?11=221109&x",
        "https://id.gs1.org/gtin/9780345418913/cpv/344/lot/1223/ser/765tz/",
        "https://id.gs1.org/01/9780345418913/21/765tz/10/1223",
        "https://someone@example.com/01/09780345418913/21/%37%36%35tz",
    ],
)
def test_every_spelling_of_a_serial_is_one(text: str) -> None:
    assert canonical_identifier(text) == "https://id.gs1.org/01/09780345418913/21/765tz"


@given(st.text(max_size=60) | st.from_regex(r"(urn:epc:(id|class|idpat):[a-z]{2,6}:|https?://a/01/)[0-9A-Za-z.%*/?#]*"))
def test_doing_it_twice_changes_nothing(text: str) -> None:
    once = canonical_identifier(text)
    assert canonical_identifier(once) == once


@given(
    prefix=st.from_regex(r"[0-9]{6,12}", fullmatch=True),
    fill=st.from_regex(r"[0-9]{7}", fullmatch=True),
    serial=st.text(AI82, min_size=1, max_size=20),
    host=st.sampled_from(["https://id.gs1.org", "http://brand.example/a/b", "https://x.example:8080"]),
)
def test_a_urn_and_every_link_of_the_same_serial_are_one(prefix: str, fill: str, serial: str, host: str) -> None:
    item = fill[: 13 - len(prefix)]
    digits = item[0] + prefix + item[1:]
    gtin = digits + check_digit(digits)
    escaped = "".join(f"%{ord(c):02X}" if c in '"%&/<>?' else c for c in serial)
    expected = canonical_identifier(f"urn:epc:id:sgtin:{prefix}.{item}.{escaped}")
    assert parse_digital_link(expected).values == {"01": gtin, "21": serial}
    assert canonical_identifier(f"{host}/01/{gtin}/10/LOT/21/{quote(serial, safe='')}?17=260418") == expected
    assert canonical_identifier(f"{host}/gtin/{gtin}/ser/{quote(serial, safe='')}") == expected
    other = serial[:-1] + ("a" if serial[-1] != "a" else "b")
    assert canonical_identifier(f"{host}/01/{gtin}/21/{quote(other, safe='')}") != expected
