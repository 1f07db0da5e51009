"""The committed interface is the one that is served, and what is sent at random is answered as it says."""

import json
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import api
from api import openapi
from api.problems import MEDIA_TYPE
from api.runtime import Runtime
from ledger.kernel.actors import Role
from tests.api.conftest import SignIn

CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance, status_code_conformance]
COMMITTED = Path(api.__file__).parent / "openapi.json"


def test_the_committed_document_is_the_one_we_serve() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == openapi.text(), "run: python -m api.openapi > api/openapi.json"


def test_every_operation_says_what_it_is_and_that_it_may_refuse() -> None:
    document = json.loads(COMMITTED.read_text(encoding="utf-8"))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            assert MEDIA_TYPE in operation["responses"]["default"]["content"], (method, path)
            assert operation.get("tags"), (method, path)


def test_whatever_is_sent_is_answered_as_documented(app: FastAPI, rt: Runtime, signed_in: SignIn) -> None:
    """A few generated requests for every operation, by someone who may do it; streams have no end to wait for."""
    assert rt.chain.chain_id  # opened here: the library in it raises the recursion limit, which Hypothesis minds
    people = {role: signed_in(role).headers["Authorization"] for role in (Role.FARMER, Role.HOST, Role.STATION)}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app).exclude(path_regex="/stream$")
    wrong: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()
        role = next((role for role in people if f"/{role}/" in operation.path), Role.STATION)
        try:
            _send_some(operation, {"Authorization": people[role]})
        except Exception as error:  # noqa: BLE001  # every operation is tried before any is reported
            wrong.append(f"{operation.label}: {error}")
    assert wrong == [], "\n\n".join(wrong)


def _send_some(operation: Any, headers: dict[str, str]) -> None:
    @settings(max_examples=4, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    send()
