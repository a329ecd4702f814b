"""Every backend against the one contract, and against a dict."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import fsspec
import pytest
from botocore.exceptions import ClientError
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from statekeep.store import (
    Capabilities,
    SupportsAppend,
    SupportsInspect,
    SupportsQuery,
    power,
)
from statekeep.testing import StateStoreContract, StateStoreMachine
from statekeep_backends.local import files
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from statekeep import StateStore

DATABASES = ("postgres", "valkey", "redis")

EVERYTHING = Capabilities(conditional_put=True, conditional_delete=True, shared=True)
FAR_AWAY = replace(EVERYTHING, remote=True)
CLAIMS = {
    "memory": Capabilities(conditional_put=True, conditional_delete=True, shared=False),
    "local": EVERYTHING,
    "local, renaming": EVERYTHING,
    "sqlite": EVERYTHING,
    "sqlite, full": EVERYTHING,
    **dict.fromkeys(DATABASES, FAR_AWAY),
    "fsspec's memory": Capabilities(conditional_put=False, conditional_delete=False, shared=False),
    "fsspec's files": Capabilities(conditional_put=False, conditional_delete=False, shared=True),
    "moto+s3fs": FAR_AWAY,
    "seaweedfs+s3fs": FAR_AWAY,
    "seaweedfs+obstore": FAR_AWAY,
}
COLUMNS = {
    "memory": "`memory:`",
    "local": "`file:`",
    "sqlite": "`sqlite:`",
    "postgres": "`postgresql:`",
    "valkey": "`redis:`",
    "redis": "`redis:`",
    "fsspec": "fsspec",
}
PROMISES: dict[str, Callable[[StateStore], bool]] = {
    "conditional create and replace": lambda store: store.capabilities.conditional_put,
    "conditional delete": lambda store: store.capabilities.conditional_delete,
    "shared with other processes": lambda store: store.capabilities.shared,
    "versions never come back": lambda store: store.put("a.md", b"A") != store.put("a.md", b"A"),
    "knows when a document was written": lambda store: (
        next(iter(store.scan())).modified_ns is not None
    ),
    "a listing reads only what changed": lambda store: (
        (read := store.get("b.md")) is not None
        and read.fingerprint is not None
        and read.fingerprint in {entry.fingerprint for entry in store.scan()}
    ),
    "a page of a listing costs only the page": lambda store: (
        power(store, SupportsQuery) is not None
    ),
    "an append writes only what is appended": lambda store: (
        power(store, SupportsAppend) is not None
    ),
    "the doctor also examines the storage itself": lambda store: (
        power(store, SupportsInspect) is not None
    ),
}
IN_SHORT = {
    "conditional writes": "conditional create and replace",
    "conditional deletes": "conditional delete",
    "shared between processes": "shared with other processes",
    "a listing's page reads only the page": "a page of a listing costs only the page",
    "an append writes only the item": "an append writes only what is appended",
}
"""What the README calls some of them."""
ROOT = Path(__file__).parents[2]
every_backend = pytest.mark.parametrize("backend", CLAIMS)


@every_backend
class TestStore(StateStoreContract):
    @pytest.fixture
    def location(self, new_location: Callable[[], str]) -> str:
        return new_location()

    @pytest.fixture
    def raw(self, backend: str, location: str) -> MutableMapping[str, bytes]:
        if backend == "memory" or backend.startswith("sqlite") or backend in DATABASES:
            pytest.skip("there is no way around it")
        place, _, query = location.partition("?")
        if location.startswith("s3:"):
            return Bucket(place, endpoint_url=query.partition("&")[0].removeprefix("endpoint_url="))
        path = place.removeprefix("fsspec+")
        mapping: MutableMapping[str, bytes] = fsspec.get_mapper(path, use_listings_cache=False)
        return mapping

    @pytest.fixture
    def unreachable(self, backend: str, location: str) -> str:
        if "memory" in backend:
            pytest.skip("it always answers")
        if location.startswith("s3:"):
            client = location.rpartition("&")[2]
            return (
                f"{location.partition('?')[0]}?endpoint_url=http://127.0.0.1:1&retries=0&{client}"
            )
        if backend in DATABASES:
            return f"{location.partition(':')[0]}://127.0.0.1:1/0"
        if backend.startswith("sqlite"):
            return "sqlite:/dev/null/x"
        return "fsspec+file:///dev/null/x" if backend == "fsspec's files" else "/dev/null/x"

    @pytest.fixture(autouse=True)
    def _unclaimed(self, backend: str, request: pytest.FixtureRequest) -> None:
        atomicity = self.test_a_reader_sees_the_old_bytes_or_the_new_ones
        if backend == "fsspec's files" and request.function == atomicity:
            pytest.skip("a plain filesystem is not atomic; docs/backends/fsspec.md says so")

    def test_the_docs_say_what_it_promises(
        self, store: StateStore, backend: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "_CLOCK_GRAIN_NS", 0)  # so that a new file counts as settled
        column = COLUMNS.get(backend.partition(",")[0].partition("'")[0], "`s3:`")
        store.put("b.md", b"B")
        shown = {what: "yes" if holds(store) else "no" for what, holds in PROMISES.items()}
        if backend == "fsspec's memory":
            shown["shared with other processes"] = "yes"  # of what else fsspec reaches
        head, *rows = _table(ROOT / "docs" / "backends" / "README.md", "What each promises")
        assert {row[0]: row[head.index(column)] for row in rows} == shown
        head, *rows = _table(ROOT / "README.md", "Swap the backend")
        (row,) = (row for row in rows if column.strip("`") in row[0])
        said = dict(zip(head, row, strict=True))
        assert {what: said[what] for what in IN_SHORT} == {
            what: shown[full] for what, full in IN_SHORT.items()
        }

    # So that none of them is let off by claiming less.
    def test_it_claims_what_it_should(self, store: StateStore, backend: str) -> None:
        store.get("any.json")
        assert store.capabilities == CLAIMS[backend]


@every_backend
def test_a_store_is_a_dict_whatever_is_done(backend: str, new_location: Callable[[], str]) -> None:
    class Machine(StateStoreMachine):
        def location(self) -> str:
            return new_location()

    remote = "+" in backend or backend in DATABASES
    often = settings(max_examples=3 if remote else 20, stateful_step_count=30, deadline=None)
    run_state_machine_as_test(Machine, settings=often)


def _table(page: Path, heading: str) -> list[list[str]]:
    """The first table of a section, without the line below its head."""
    section = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return [head, *rows]


class Bucket(MutableMapping[str, bytes]):
    """The objects below a prefix, as any other program sees them."""

    def __init__(self, place: str, endpoint_url: str) -> None:
        self._bucket, _, self._prefix = place.removeprefix("s3://").partition("/")
        self._client = boto3.client("s3", endpoint_url=endpoint_url)

    def __getitem__(self, key: str) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}")
        except ClientError:
            raise KeyError(key) from None
        data: bytes = answer["Body"].read()
        return data

    def __setitem__(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}", Body=data)

    def __delitem__(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=f"{self._prefix}/{key}")

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_memory_is_usable_in_a_child_forked_while_a_thread_writes() -> None:
    store = MemoryStore()
    with store._place.lock:
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            store.put("a.md", b"x")
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
