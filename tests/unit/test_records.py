"""Records of heads, as stores that keep records have them."""

from __future__ import annotations

from typing import Any

import pytest

from statekeep import Session, Version
from statekeep.format.record import HeadRecord, decode_record, encode_record, record_of
from statekeep.store import Row

KEY = "sessions/s.json"
SESSION = record_of(KEY, Version("1"), Session.new("ada", "s").summary(size=7))
JOURNAL = SESSION._replace(user_id=None, name='["ada","thread"]')


def row(**fields: Any) -> Row:
    return Row(KEY, Version("1"), None, {**encode_record(SESSION), **fields})


@pytest.mark.parametrize("record", [SESSION, JOURNAL])
def test_a_record_comes_back(record: HeadRecord) -> None:
    assert decode_record(Row(KEY, Version("1"), None, encode_record(record))) == record


def test_what_a_newer_version_says_besides_is_ignored() -> None:
    assert decode_record(row(v=2, tokens=5)) == SESSION


@pytest.mark.parametrize(
    "fields",
    [
        {"id": 5},
        {"user_id": None},
        {"length": True},
        {"size": 1.5},
        {"updated_at": None},
        {"updated_at": 10**18},
        {"created_at": -(10**18)},
        {"pinned_until": 10**30},
        {"expires_at": "2026"},
        {"last_evaluation": 1},
        {"name": "ada"},
        {"name": '{"a":1}'},
        {"name": "[1]"},
        {"title": ["t"]},
    ],
)
def test_what_is_no_record_is_none(fields: dict[str, Any]) -> None:
    assert decode_record(row(**fields)) is None


def test_a_record_without_a_field_is_none() -> None:
    for field in encode_record(SESSION):
        record = {**encode_record(SESSION)}
        del record[field]
        kept = decode_record(Row(KEY, Version("1"), None, record))
        assert kept is None or kept == SESSION, field
