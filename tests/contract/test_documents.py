"""The checked-in contract documents are what the code generates."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from sealwatch.contract import schema

FOLDER = Path(__file__).parents[2] / "docs" / "contract"


@pytest.mark.parametrize("path", sorted(schema.documents()))
def test_checked_in_document_matches_the_code(path: str) -> None:
    assert (FOLDER / path).read_text(encoding="utf-8") == schema.documents()[path], "run `make contract`"


def test_no_document_is_left_over() -> None:
    written = {str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.json")}
    assert written == set(schema.documents())


@pytest.mark.parametrize("name", sorted(schema.json_schemas()))
def test_each_schema_is_valid_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema.json_schemas()[name])


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = schema.asyncapi()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                target: object = document
                for part in reference.removeprefix("#/").split("/"):
                    assert isinstance(target, dict)
                    target = target[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(json.loads(json.dumps(document)))
