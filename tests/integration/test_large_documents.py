"""What is too large to be read is reported, and costs no memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from statekeep import CorruptDataError, InvalidDocumentError, Session, Sessions, open_store
from statekeep.doctor import diagnose, repair

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sparse_file_of_300_gigabytes_is_a_problem_and_no_more(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        sessions = Sessions(store)
        sessions.get_or_create("ada", "sound")
        large = tmp_path / "sessions/large.json"
        large.touch()
        os.truncate(large, 300_000_000_000)
        listing = sessions.list()
        assert [each.id for each in listing] == ["sound"]
        assert [problem.key for problem in listing.problems] == ["sessions/large.json"]
        assert "300000000000 bytes, more than max_document_bytes" in listing.problems[0].reason
        for call in (
            lambda: sessions.load("large"),
            lambda: sessions.get_or_create("ada", "large"),
            lambda: sessions.delete("large"),
            lambda: store.put("sessions/large.json", b"x", expect=listing.summaries[0].id),  # type: ignore[arg-type]
        ):
            with pytest.raises(CorruptDataError, match="open the store with more of them"):
                call()
        sessions.save(Session.new("ada", "other"))
        report = repair(store, diagnose(store))
        assert [finding.place for finding in report.left] == ["sessions/large.json"]
        assert large.stat().st_size == 300_000_000_000
        sessions.save(Session.new("ada", "large"), overwrite=True)
        assert len(sessions.list()) == 3


def _check(url: str, **options: object) -> None:
    session = Session.new("ada", "s")
    session.add_user_message("x" * 1000)
    with open_store(url, **options) as store:
        Sessions(store).save(session)
    with open_store(url, **options, max_document_bytes=1000) as store:
        sessions = Sessions(store)
        with pytest.raises(CorruptDataError, match=r"more than max_document_bytes \(1000\)") as got:
            sessions.load("s")
        assert got.value.key == "sessions/s.json"
        assert [problem.key for problem in sessions.list().problems] == ["sessions/s.json"]
        session.add_user_message("y")
        with pytest.raises(InvalidDocumentError, match="more than max_document_bytes") as refused:
            sessions.save(session)
        assert refused.value.landed == "no"
        sessions.save(session.fork("t", upto=0))
    with open_store(url, **options) as store:
        assert len(Sessions(store).list()) == 2
        Sessions(store).save(session)


def test_a_bound_of_ones_own_holds_on_disk(tmp_path: Path) -> None:
    _check(str(tmp_path))


def test_a_bound_of_ones_own_holds_on_s3(s3_place: str, s3_endpoint: str, s3_client: str) -> None:
    _check(s3_place, endpoint_url=s3_endpoint, client=s3_client)
