"""What is too large to be read is reported, and costs no memory."""

from __future__ import annotations

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from statekeep import (
    CorruptDataError,
    InvalidDocumentError,
    Session,
    Sessions,
    StateStoreError,
    open_store,
)
from statekeep.doctor import diagnose, repair
from statekeep.store.keys import CACHE
from statekeep_backends.local import LocalDiskStore


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
            with pytest.raises(CorruptDataError, match="open the store with a larger limit"):
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


def test_a_file_that_grows_while_it_is_read_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalDiskStore(tmp_path, durability="rename", max_document_bytes=10_000)
    store.put("a.md", b"x")
    read, got = os.read, []

    def grow(descriptor: int, size: int) -> bytes:
        with (tmp_path / "a.md").open("ab") as file:
            file.write(b"x" * 4000)
        got.append(read(descriptor, size))
        return got[-1]

    monkeypatch.setattr(os, "read", grow)
    with pytest.raises(CorruptDataError, match=r"more bytes than max_document_bytes \(10000\)"):
        store.get("a.md")
    assert sum(map(len, got)) == 10_001


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_file_that_tells_no_size_is_bounded_too() -> None:
    store = LocalDiskStore("/proc", max_document_bytes=10)
    with pytest.raises(CorruptDataError, match="more bytes than max_document_bytes"):
        store.get("cpuinfo")
    with LocalDiskStore("/proc") as store:
        assert store.get("cpuinfo")


@pytest.mark.parametrize("size", [9, 10])
def test_what_is_as_large_as_it_may_be_is_read(tmp_path: Path, size: int) -> None:
    store = LocalDiskStore(tmp_path, max_document_bytes=10)
    version = store.put("a.md", b"x" * size)
    blob = store.get("a.md")
    assert blob
    assert blob.data == b"x" * size
    store.put("a.md", b"y" * size, expect=version)


@pytest.mark.parametrize("length", [10, 11])
@pytest.mark.parametrize("client", ["s3fs", "obstore"])
def test_an_answer_that_tells_no_length_is_bounded_too(
    monkeypatch: pytest.MonkeyPatch, client: str, length: int
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    class InChunks(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"1\r\nx\r\n" * length + b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), InChunks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        options = {"endpoint_url": url, "client": client, "region": "us-east-1", "retries": 0}
        try:
            with open_store("s3://bucket", **options, max_document_bytes=10) as store:
                if client == "obstore":  # which takes no such answer
                    with pytest.raises(StateStoreError, match=r"(?i)length"):
                        store.get("a.md")
                elif length > 10:
                    with pytest.raises(CorruptDataError, match="more bytes than max_document"):
                        store.get("a.md")
                else:
                    blob = store.get("a.md")
                    assert blob
                    assert blob.data == b"x" * 10
        finally:
            server.shutdown()


def _check_the_index(url: str, **options: object) -> None:
    with open_store(url, **options, max_document_bytes=1000) as store:
        sessions = Sessions(store)
        for n in range(20):
            sessions.get_or_create("ada", f"a-session-with-a-long-name-{n:060}")
        assert len(sessions.list().summaries) == 20
        index = {entry.key: entry.size for entry in store.scan(CACHE)}
        assert max(index.values()) > 1000
        for key in index:
            assert store.get(key)


def test_the_index_is_as_large_as_it_has_to_be_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: minute)  # then no file is too new for the index
    _check_the_index(str(tmp_path))


def test_the_index_is_as_large_as_it_has_to_be_on_s3(
    s3_place: str, s3_endpoint: str, s3_client: str
) -> None:
    _check_the_index(s3_place, endpoint_url=s3_endpoint, client=s3_client)


def test_a_bound_of_ones_own_holds_on_disk(tmp_path: Path) -> None:
    _check(str(tmp_path))


def test_a_bound_of_ones_own_holds_on_s3(s3_place: str, s3_endpoint: str, s3_client: str) -> None:
    _check(s3_place, endpoint_url=s3_endpoint, client=s3_client)
