"""What is special about S3, whichever client: budgets, lost answers, throttling, errors."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from itertools import product
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import servers
from proxy import CUT, DROP, HALF, Fault, Late, Proxy, Request
from support import each_server_and_client_once

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ConfigError,
    ConflictError,
    Documents,
    InvalidKeyError,
    Journals,
    Session,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
    load_pruner,
    open_store,
)
from statekeep.doctor import diagnose, repair
from statekeep.events import Event, OperationFinished
from statekeep.retention import Retention
from statekeep.store import SupportsInspect, Version, delete_many, get_many, inspect, power
from statekeep.testing.journal_checks import small_bounds
from statekeep.testing.processes import in_processes, update_often
from statekeep.timestamps import utc_now
from statekeep_backends.s3 import requests
from statekeep_backends.s3 import store as store_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "notes/plan.json"
HOUR = timedelta(hours=1)
NO_SUCH_VERSION = Version("no such version")


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[Proxy]:
    with Proxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def options(proxy: Proxy, s3_client: str) -> dict[str, Any]:
    """Those of a store behind the proxy."""
    return {"endpoint_url": proxy.url, "client": s3_client}


@pytest.fixture
def store(s3_place: str, options: dict[str, Any]) -> Iterator[StateStore]:
    """A store behind the proxy that does not ask first whether conditions are honoured."""
    with open_store(s3_place, **options, conditional="yes") as store:
        yield store


@pytest.fixture
def direct(s3_place: str, s3_endpoint: str, s3_client: str) -> Iterator[StateStore]:
    """The same place, without the proxy."""
    with open_store(s3_place, endpoint_url=s3_endpoint, client=s3_client) as store:
        yield store


class AnyServer:
    """For tests in which the proxy answers: one server behind it is enough."""

    @pytest.fixture
    def s3_endpoint(self, moto_url: str) -> str:
        return moto_url


class Once:
    """A fault for the first request that is of this kind."""

    def __init__(self, method: str, fault: Fault, times: int = 1) -> None:
        self._method, self._fault, self._times = method, fault, times

    def __call__(self, request: Request) -> Fault:
        if str(request) != self._method or not self._times:
            return None
        self._times -= 1
        return self._fault


class UnderWay:
    """No fault; it counts the requests that are answered at the same time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now = 0
        self.most = 0

    def __call__(self, _: Request) -> Fault:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.05)
        with self._lock:
            self._now -= 1
        return None


@pytest.mark.rest
class TestMany(AnyServer):
    def test_one_call_has_so_many_requests_under_way_as_it_may(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy
    ) -> None:
        under_way = UnderWay()
        with open_store(s3_place, **options, max_concurrency=3) as store:
            proxy.fault = under_way
            dict(get_many(store, [f"a/{n}.md" for n in range(24)]))
        assert under_way.most == 3

    def test_a_small_call_does_not_wait_for_a_large_one(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy
    ) -> None:
        ended = []

        def read(store: StateStore, number: int) -> None:
            dict(get_many(store, [f"a/{n}.md" for n in range(number)]))
            ended.append(number)

        with (
            open_store(s3_place, **options, max_concurrency=2) as store,
            ThreadPoolExecutor() as pool,
        ):
            read(store, 1)
            proxy.count()
            proxy.fault = lambda _: 0.1
            pool.submit(read, store, 14)
            while not proxy.requests:
                time.sleep(0.01)
            pool.submit(read, store, 2)
        assert ended == [1, 2, 14]


class TestBudgets:
    def test_of_the_store(self, store: StateStore, proxy: Proxy) -> None:
        version = store.put(KEY, b"1", expect=ABSENT)
        assert proxy.count() == ["PUT"]
        store.put(KEY, b"2")
        assert proxy.count() == ["PUT"]
        with pytest.raises(ConflictError):
            store.put(KEY, b"3", expect=version)
        assert proxy.count() == ["PUT", "HEAD"]
        blob = store.get(KEY)
        assert blob
        assert proxy.count() == ["GET"]
        assert store.get("nothing.md") is None
        assert proxy.count() == ["GET"]
        store.delete(KEY, expect=blob.version)
        assert proxy.count() == ["DELETE"]
        store.delete(KEY)
        assert proxy.count() == ["DELETE"]
        assert list(store.scan()) == []
        assert proxy.count() == ["LIST"]

    @pytest.mark.rest
    @each_server_and_client_once
    def test_of_a_scan_one_for_each_thousand(
        self, store: StateStore, proxy: Proxy, direct: StateStore
    ) -> None:
        keys = [f"many/{n}.json" for n in range(1001)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: direct.put(key, b"{}"), keys))
        assert len(list(store.scan("many"))) == 1001
        assert proxy.count() == ["LIST", "LIST"]
        store.delete(keys[-1])
        proxy.count()
        events: list[Event] = []
        assert len(Documents(store, observers=[events.append]).list("many")) == 1000
        assert proxy.count() == ["LIST"]
        assert [each.requests for each in events if isinstance(each, OperationFinished)] == [1]
        assert len(dict(get_many(store, keys[:200]))) == 200
        assert proxy.count() == ["GET"] * 200
        delete_many(store, keys)
        assert proxy.count() == ["POST", "POST"]
        assert list(store.scan()) == []

    def test_of_sessions(self, store: StateStore, proxy: Proxy) -> None:
        sessions = Sessions(store)
        session = sessions.get_or_create("ada", "s")
        assert proxy.count() == ["GET", "PUT"]
        sessions.get_or_create("ada", "s")
        assert proxy.count() == ["GET"]
        sessions.get_or_create("ada")
        assert proxy.count() == ["PUT"]
        sessions.save(session)
        assert proxy.count() == ["PUT"]
        sessions.load("s")
        assert proxy.count() == ["GET"]
        sessions.update("s", lambda session: session.add_user_message("hello"))
        assert proxy.count() == ["GET", "PUT"]
        sessions.list()
        assert proxy.count() == ["LIST", "GET", "GET"]
        plan = sessions.plan_prune(load_pruner("max-sessions", max_sessions=1))
        proxy.count()
        sessions.prune(plan)
        sweep = ["GET", "LIST", "LIST"]  # the last one, segments, attachments
        # The stamp, its date, and the victim.
        assert proxy.count() == ["PUT", "GET", "DELETE", *sweep]
        assert sessions.delete("s")
        assert proxy.count() == ["GET", "DELETE"]
        assert not sessions.delete("s")
        assert proxy.count() == ["GET"]

    def test_of_listings(self, store: StateStore, proxy: Proxy) -> None:
        sessions = Sessions(store)
        for n in range(20):
            sessions.get_or_create("ada", f"s{n}")
        proxy.count()
        sessions.list()
        assert sorted(proxy.count()) == ["GET"] * 21 + ["LIST", "PUT"]  # the index is written
        sessions.list()
        assert proxy.count() == ["LIST"]
        Sessions(store).list()
        assert proxy.count() == ["LIST", "GET"]  # the index
        sessions.update("s1", lambda session: session.add_user_message("hello"))
        proxy.count()
        assert sum(summary.message_count for summary in sessions.list()) == 1
        assert proxy.count() == ["LIST", "GET"]
        sessions.plan_prune(load_pruner("ttl"))
        assert proxy.count() == ["LIST"]

    def test_of_documents(self, store: StateStore, proxy: Proxy) -> None:
        documents = Documents(store)
        documents.save_json("a", "b", 1)
        assert proxy.count() == ["PUT"]
        documents.load_json("a", "b")
        assert proxy.count() == ["GET"]
        documents.update("a", "b", lambda value: value + 1)
        assert proxy.count() == ["GET", "PUT"]
        documents.list("a")
        assert proxy.count() == ["LIST"]
        documents.delete("a", "b", kind="json")
        assert proxy.count() == ["GET", "DELETE"]

    def test_of_journals(self, store: StateStore, proxy: Proxy) -> None:
        journals = Journals(store, "c")
        journal = journals.open("ada", "thread-17")
        assert proxy.count() == []
        journal.append([0])
        assert proxy.count() == ["GET", "PUT"]
        for number in range(1, 4):
            journal.append([number], key=f"request-{number}", set={"k": number})
            assert proxy.count() == ["PUT"]
        cold = journals.open("ada", "thread-17")
        cold.append([4])
        assert proxy.count() == ["GET", "PUT"]
        cold.change(lambda draft: draft.pop())
        assert proxy.count() == ["PUT"]
        journal.append([4])  # another appended meanwhile
        assert proxy.count() == ["PUT", "HEAD", "GET", "PUT"]
        journal.append([9], key="request-1")
        assert proxy.count() == ["GET"]  # that it is known must be so now
        journal.head()
        assert proxy.count() == ["GET"]
        assert journal.read(last=2) == [3, 4]
        assert proxy.count() == ["GET"]
        assert journals.open("ada", "thread-17").read() == [0, 1, 2, 3, 4]
        assert proxy.count() == ["GET"]
        assert [*journals.heads("ada")]
        assert proxy.count() == ["GET", "LIST", "GET"]
        assert len(journals.list()) == 1
        assert proxy.count() == ["LIST", "GET"]
        assert journal.delete()
        assert proxy.count() == ["GET", "DELETE"]
        assert not journal.delete()
        assert proxy.count() == ["GET"]

    def test_of_the_segments_of_journals(self, store: StateStore, proxy: Proxy) -> None:
        items = [[number, "x" * 200] for number in range(60)]
        seen = set()
        with small_bounds(lines=1500, kept=500, merged=4000):
            journal = Journals(store, "c").open("a")
            journal.append(items[:1])
            proxy.count()
            for item in items[1:]:
                journal.append([item])
                # In the order in which it must be: a segment is put before it is named.
                seen.add(tuple(proxy.count()))
        assert seen == {
            ("PUT",),
            ("PUT", "PUT"),  # with a segment
            ("GET", "GET", "GET", "PUT", "PUT"),  # and with three that become one with it
        }
        loaded = journal.load()
        assert loaded is not None
        assert loaded.items == items
        segments = len(proxy.count()) - 1
        assert segments > 2
        assert journal.read(last=1) == items[-1:]
        assert proxy.count() == ["GET"]
        assert journal.read(last=8) == items[-8:]
        assert proxy.count() == ["GET", "GET"]
        assert journal.read(start=0, stop=1) == items[:1]
        assert proxy.count() == ["GET", "GET"]
        assert journal.delete()
        assert proxy.count() == ["GET", "DELETE"]

    @pytest.mark.rest
    @each_server_and_client_once
    def test_of_ten_thousand_turns_of_a_journal(self, store: StateStore, proxy: Proxy) -> None:
        journal = Journals(store, "c").open("a")
        for number in range(0, 10_000, 10):
            journal.append([[each, "x" * 1000] for each in range(number, number + 10)])
        proxy.count()
        found = journal.read()
        assert found is not None
        assert [item[0] for item in found] == [*range(10_000)]
        assert len(proxy.count()) <= 20

    def test_are_what_observers_are_told(self, store: StateStore, proxy: Proxy) -> None:
        told: list[OperationFinished] = []

        def observe(event: Event) -> None:
            if isinstance(event, OperationFinished):
                told.append(event)

        sessions = Sessions(store, observers=[observe])
        operations: list[Callable[[], object]] = [
            lambda: sessions.get_or_create("ada", "s"),
            lambda: sessions.get_or_create("ada", "t"),
            lambda: sessions.update("s", lambda session: session.add_user_message("hello")),
            lambda: Documents(store, observers=[observe]).save_json("a", "b", 1),
            sessions.list,
            lambda: sessions.prune(load_pruner("max-sessions", max_sessions=1)),
        ]
        for operation in operations:
            proxy.fault = Once("PUT", (503, "SlowDown"))
            operation()
            assert told[-1].requests == len(proxy.count())
        assert [each.requests for each in told[:2]] == [3, 3]

    def test_many_are_read_at_once(self, store: StateStore, proxy: Proxy) -> None:
        keys = [f"a/{n}.md" for n in range(16)]
        for key in keys:
            store.put(key, b"x")
        together = Barrier(4)

        def wait_for_the_others(_: Request) -> None:
            together.wait(timeout=60)

        proxy.fault = wait_for_the_others
        assert len(dict(get_many(store, keys))) == 16

    def test_of_a_large_document(self, store: StateStore, proxy: Proxy) -> None:
        store.put(KEY, b"x" * 6_000_000, expect=ABSENT)
        assert proxy.count() == ["PUT"]

    def test_nothing_is_sent_before_the_first_operation(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        with open_store(s3_place, **options) as store:
            Sessions(store)
            assert store.capabilities.conditional_put
            assert store.capabilities.remote
        assert proxy.count() == []

    def test_a_server_is_asked_once_whether_it_honours_conditions(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        with open_store(s3_place, **options) as store:
            version = store.put(KEY, b"1", expect=ABSENT)
            assert proxy.count() == ["PUT", "PUT"]
            store.delete(KEY, expect=version)
            assert proxy.count() == ["PUT", "DELETE", "DELETE", "DELETE"]
            assert list(store.scan()) == []

    def test_threads_that_get_no_answer_do_not_wait_for_each_other(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        proxy.fault = lambda _: (503, "SlowDown")
        with open_store(s3_place, **options, retries=2) as store, ThreadPoolExecutor(12) as pool:

            def refused(number: int) -> float:
                started = time.monotonic()
                with pytest.raises(UnavailableError):
                    store.put(f"many/{number}.json", b"1", expect=ABSENT)
                return time.monotonic() - started

            took = list(pool.map(refused, range(12)))
        # One after the other the last would wait for twelve times the pauses of the first.
        assert max(took) < 5 * min(took)

    def test_a_server_is_asked_once_by_many_threads(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        keys = [f"many/{n}.json" for n in range(8)]
        with open_store(s3_place, **options) as store, ThreadPoolExecutor(8) as pool:
            versions = [store.put(key, b"1") for key in keys]
            proxy.count()
            proxy.fault = lambda _: 0.05
            list(
                pool.map(lambda key: store.put(key, b"2", expect=ABSENT), ["x/1.json", "x/2.json"])
            )
            assert proxy.count() == ["PUT"] * 3
            list(
                pool.map(
                    lambda each: store.delete(each[0], expect=each[1]),
                    zip(keys, versions, strict=True),
                )
            )
            assert sorted(proxy.count()) == ["DELETE"] * 10 + ["PUT"]


class TestALostAnswer:
    def test_to_a_create_is_no_conflict(self, store: StateStore, proxy: Proxy) -> None:
        proxy.fault = Once("PUT", DROP)
        version = store.put(KEY, b"mine", expect=ABSENT)
        assert proxy.count() == ["PUT", "PUT", "HEAD"]
        blob = store.get(KEY)
        assert blob
        assert (blob.data, blob.version) == (b"mine", version)

    def test_to_a_swap_is_no_conflict(self, store: StateStore, proxy: Proxy) -> None:
        version = store.put(KEY, b"old")
        proxy.count()
        proxy.fault = Once("PUT", DROP)
        newer = store.put(KEY, b"new", expect=version)
        assert proxy.count() == ["PUT", "PUT", "HEAD"]
        store.put(KEY, b"newer", expect=newer)

    def test_to_a_swap_that_lost_is_a_conflict_though_the_bytes_are_equal(
        self, store: StateStore, proxy: Proxy, direct: StateStore
    ) -> None:
        version = store.put(KEY, b"old")
        direct.put(KEY, b"new", expect=version)
        proxy.fault = Once("PUT", DROP)
        with pytest.raises(ConflictError):
            store.put(KEY, b"new", expect=version)

    def test_to_a_delete_is_no_conflict(self, store: StateStore, proxy: Proxy) -> None:
        version = store.put(KEY, b"x")
        proxy.count()
        proxy.fault = Once("DELETE", DROP)
        store.delete(KEY, expect=version)
        assert proxy.count() == ["DELETE", "DELETE", "HEAD"]
        assert store.get(KEY) is None

    def test_to_a_delete_may_be_a_failure_of_the_server(
        self, store: StateStore, proxy: Proxy, direct: StateStore
    ) -> None:
        failed: list[str] = []

        def delete_and_fail(request: Request) -> Fault:
            if request.method != "DELETE" or failed:
                return None
            failed.append(request.path)
            direct.delete(KEY)
            return (500, "InternalError")

        version = store.put(KEY, b"x")
        store.delete(KEY, expect=version)
        version = store.put(KEY, b"x")
        proxy.fault = delete_and_fail
        store.delete(KEY, expect=version)
        assert failed
        assert store.get(KEY) is None

    def test_to_a_delete_that_lost_is_a_conflict(
        self, store: StateStore, proxy: Proxy, direct: StateStore
    ) -> None:
        version = store.put(KEY, b"old")
        direct.put(KEY, b"new")
        proxy.fault = Once("DELETE", DROP)
        with pytest.raises(ConflictError):
            store.delete(KEY, expect=version)
        assert store.get(KEY)

    @pytest.mark.parametrize("method", ["GET", "LIST", "PUT", "DELETE", "POST"])
    def test_to_anything_else_costs_one_more_request(
        self, store: StateStore, proxy: Proxy, method: str
    ) -> None:
        store.put(KEY, b"x")
        proxy.count()
        proxy.fault = Once(method, DROP)
        operations: dict[str, Callable[[], object]] = {
            "GET": lambda: store.get(KEY),
            "LIST": lambda: list(store.scan()),
            "PUT": lambda: store.put(KEY, b"y"),
            "DELETE": lambda: store.delete(KEY),
            "POST": lambda: delete_many(store, [KEY]),
        }
        operations[method]()
        assert proxy.count() == [method, method]

    def test_that_breaks_off_costs_one_more_request(self, store: StateStore, proxy: Proxy) -> None:
        store.put(KEY, b"x" * 100_000)
        proxy.count()
        proxy.fault = Once("GET", HALF)
        blob = store.get(KEY)
        assert blob
        assert len(blob.data) == 100_000
        assert proxy.count() == ["GET", "GET"]
        proxy.fault = Once("LIST", HALF)
        assert [entry.key for entry in store.scan()] == [KEY]
        assert proxy.count() == ["LIST", "LIST"]

    @pytest.mark.rest
    @each_server_and_client_once
    def test_loses_no_update_among_many_processes(
        self, proxy: Proxy, direct: StateStore, s3_place: str, s3_client: str
    ) -> None:
        seen = 0

        def drop_some(request: Request) -> str | None:
            nonlocal seen
            seen += 1
            return DROP if request.method == "PUT" and seen % 7 == 0 else None

        proxy.fault = drop_some
        Sessions(direct).get_or_create("ada", "s")
        # Of thousands of writes one in seven is lost; one may be so five times in a row.
        location = f"{s3_place}?endpoint_url={proxy.url}&client={s3_client}&retries=20"
        # moto's server, which goes with s3fs here, answers one request at a time.
        times = 50 if s3_client == "obstore" else 10
        tasks = [(open_store, location, worker, times) for worker in range(8)]
        in_processes(update_often, tasks)
        session = Sessions(direct).load("s")
        assert session
        said = [message.content for message in session.user_messages]
        assert sorted(said) == sorted(f"{worker}-{n}" for worker in range(8) for n in range(times))


def put_new(store: StateStore, _: Version) -> None:
    store.put(KEY, b"mine", expect=ABSENT)


def put_over(store: StateStore, version: Version) -> None:
    store.put(KEY, b"mine", expect=version)


def put_any(store: StateStore, _: Version) -> None:
    store.put(KEY, b"mine")


def delete_seen(store: StateStore, version: Version) -> None:
    store.delete(KEY, expect=version)


def delete_any(store: StateStore, _: Version) -> None:
    store.delete(KEY)


def delete_several(store: StateStore, _: Version) -> None:
    delete_many(store, [KEY, "other.md"])


ON_A_CONDITION = [put_new, put_over, delete_seen]
WRITES = [*ON_A_CONDITION, put_any, delete_any, delete_several]


def _landed(write: Callable[[], None]) -> str | None:
    """What an error says of a write; None if there is none."""
    try:
        write()
    except StateStoreError as error:
        assert error.landed is not None  # noqa: PT017
        return error.landed
    return None


class _Sequence:
    """Faults of the first requests that write; `used` are those that came to it."""

    def __init__(
        self, faults: list[str], meanwhile: bytes | None, asked: str, direct: StateStore
    ) -> None:
        self._faults, self._meanwhile, self._asked, self._direct = faults, meanwhile, asked, direct
        self.used: list[str] = []

    def __call__(self, request: Request) -> Fault:
        if request.method == "HEAD":
            return TestWhatLanded.FAULTS[self._asked]
        if self.used and self._meanwhile:
            self._direct.put(KEY, self._meanwhile)
        self.used.append(self._faults[len(self.used)])
        return TestWhatLanded.FAULTS[self.used[-1]]


@pytest.mark.rest
class TestWhatLanded(AnyServer):
    """`landed` says "no" where that is certain, and nowhere else."""

    FAULTS: ClassVar[dict[str, Fault]] = {
        "none": None,
        "throttled": (503, "SlowDown"),
        "denied": (403, "AccessDenied"),
        "cut": CUT,
        "dropped": DROP,
        "failed": Late(500, "InternalError"),
    }
    CERTAIN: ClassVar = {"none", "throttled", "denied"}
    FINAL: ClassVar = {"none", "denied"}

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(requests, "_FIRST_PAUSE", 0)

    @pytest.fixture
    def store(self, s3_place: str, options: dict[str, Any]) -> Iterator[StateStore]:
        with open_store(s3_place, **options, conditional="yes", retries=1) as store:
            yield store

    @pytest.mark.rest
    @each_server_and_client_once
    @pytest.mark.parametrize("write", WRITES)
    def test_is_said_after_any_two_faults(
        self,
        store: StateStore,
        direct: StateStore,
        proxy: Proxy,
        write: Callable[[StateStore, Version], None],
    ) -> None:
        conditional = write in ON_A_CONDITION
        for there, first, second, (meanwhile, asked) in product(
            [None if write is put_new else b"seen", b"another's"] if conditional else [b"seen"],
            self.FAULTS,
            self.FAULTS,
            [(None, "none"), (b"another's, too", "none"), (None, "cut")][: 3 if conditional else 1],
        ):
            if first in self.FINAL and second != "none":
                continue  # there is no second request
            seen = direct.put(KEY, b"seen")
            if there is None:
                direct.delete(KEY)
            else:
                direct.put(KEY, there)
            proxy.fault = faults = _Sequence([first, second], meanwhile, asked, direct)
            proxy.count()
            landed = _landed(lambda: write(store, seen))  # noqa: B023
            if landed is not None:
                certain = self.CERTAIN.issuperset(faults.used)
                assert landed == ("no" if certain else "unknown"), vars(faults)
            if landed == "no":
                assert not any(each.changed_something for each in proxy.requests)

    @pytest.mark.parametrize(
        "answer",
        [
            (403, "AccessDenied"),
            (404, "NoSuchBucket"),
            (301, "PermanentRedirect"),
            (400, "InvalidRequest"),
            (400, "KeyTooLongError"),
            (409, "OperationAborted"),
            (429, "TooManyRequests"),
            (501, "NotImplemented"),
            (503, "SlowDown"),
            (507, "InsufficientStorage"),
        ],
    )
    def test_is_no_if_the_server_refused(
        self, store: StateStore, proxy: Proxy, answer: tuple[int, str]
    ) -> None:
        proxy.fault = lambda request: None if request.method == "HEAD" else answer
        for write in (put_new, delete_seen, delete_several):
            assert _landed(lambda: write(store, NO_SUCH_VERSION)) == "no"  # noqa: B023

    @pytest.mark.parametrize(
        "answer",
        [
            CUT,
            DROP,
            0.5,
            (400, "RequestTimeout"),
            (408, ""),
            (500, ""),
            (502, ""),
            (503, ""),
            (503, "ServiceUnavailable"),
            (504, ""),
            (520, ""),
        ],
    )
    def test_is_unknown_if_the_server_said_nothing_of_it(
        self, s3_place: str, options: dict[str, Any], proxy: Proxy, answer: Fault
    ) -> None:
        proxy.fault = lambda _: answer
        options |= {"retries": 0, "conditional": "yes"}
        if isinstance(answer, float):
            options["read_timeout"] = answer / 5
        with open_store(s3_place, **options) as store:
            for write in (put_new, delete_seen, delete_several):
                assert _landed(lambda: write(store, NO_SUCH_VERSION)) == "unknown"  # noqa: B023

    def test_is_unknown_though_what_the_server_says_next_is_that_it_cannot(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        answers: list[Fault] = [DROP, (501, "NotImplemented")]
        proxy.fault = lambda _: answers.pop(0)
        with pytest.raises(UnsupportedError) as caught:
            store.put(KEY, b"x", expect=ABSENT)
        assert caught.value.landed == "unknown"

    def test_is_unknown_of_a_write_that_another_has_replaced(
        self, store: StateStore, direct: StateStore, proxy: Proxy
    ) -> None:
        def replace(request: Request) -> Fault:
            if len(proxy.requests) == 1:
                return DROP
            if request.method == "PUT":
                blob = direct.get(KEY)
                assert blob
                direct.put(KEY, b"another's", expect=blob.version)
            return None

        proxy.fault = replace
        with pytest.raises(ConflictError) as caught:
            store.put(KEY, b"mine", expect=ABSENT)
        assert caught.value.landed == "unknown"

    @pytest.mark.parametrize("conditional", ["auto", "no"])
    @pytest.mark.parametrize("answer", [DROP, (500, ""), (501, "NotImplemented")])
    def test_is_no_if_it_was_never_sent(
        self,
        s3_place: str,
        options: dict[str, Any],
        proxy: Proxy,
        conditional: str,
        answer: Fault,
    ) -> None:
        proxy.fault = lambda _: answer
        with open_store(s3_place, **options, conditional=conditional, retries=0) as store:
            for write in ON_A_CONDITION:
                assert _landed(lambda: write(store, NO_SUCH_VERSION)) == "no"  # noqa: B023
        assert not any(each.path.endswith(KEY) for each in proxy.requests)

    def test_is_no_of_a_bulk_delete_only_if_its_first_request_was_refused(
        self, store: StateStore, direct: StateStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_module, "PAGE", 2)
        keys = [f"a/{n}.md" for n in range(4)]
        for refused, landed in ((1, "no"), (2, "unknown")):
            for key in keys:
                direct.put(key, b"x")
            proxy.count()
            faults: list[Fault] = [*[None] * (refused - 1), (403, "AccessDenied")]
            proxy.fault = lambda _, faults=faults: faults.pop(0)  # type: ignore[misc]
            with pytest.raises(AccessDeniedError) as caught:
                delete_many(store, keys)
            assert caught.value.landed == landed
            assert [entry.key for entry in direct.scan()] == keys[2 * (refused - 1) :]

    def test_is_unknown_if_a_bulk_delete_left_one(
        self, store: StateStore, proxy: Proxy, s3_place: str
    ) -> None:
        name = f"{s3_place.split('/', 3)[3]}/{KEY}"
        said = f"<Key>{name}</Key><Code>AccessDenied</Code><Message>no</Message>"
        proxy.fault = lambda _: f"<DeleteResult><Error>{said}</Error></DeleteResult>".encode()
        with pytest.raises(AccessDeniedError) as caught:
            delete_many(store, ["other.md", KEY])
        assert caught.value.landed == "unknown"

    @pytest.mark.parametrize("answer", [CUT, (403, "AccessDenied"), (503, "SlowDown")])
    def test_is_not_said_of_reads(self, store: StateStore, proxy: Proxy, answer: Fault) -> None:
        proxy.fault = lambda _: answer
        reads: list[Callable[[], object]] = [
            lambda: store.get(KEY),
            lambda: list(store.scan()),
            lambda: list(inspect(store, older_than=timedelta(0))),
        ]
        for read in reads:
            with pytest.raises(StateStoreError) as caught:
                read()
            assert caught.value.landed is None


@pytest.mark.rest
class TestProbes:
    """What asks a server whether it honours conditions, and stays if who asks is killed."""

    PROBE = ".statekeep/probe-0123456789abcdef.json"

    @pytest.fixture
    def left(self, direct: StateStore) -> StateStore:
        for key in (self.PROBE, f"x/{self.PROBE}", ".statekeep/probes.json", ".statekeep/trash/p",
                    KEY):  # fmt: skip
            direct.put(key, b"")
        return direct

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if two hours had passed."""
        monkeypatch.setattr(store_module, "utc_now", lambda: utc_now() + 2 * HOUR)

    def test_are_no_documents(self, left: StateStore) -> None:
        keys = {f"x/{self.PROBE}", ".statekeep/probes.json", ".statekeep/trash/p", KEY}
        assert {entry.key for entry in left.scan()} == keys
        assert self.PROBE not in {entry.key for entry in left.scan(".statekeep")}

    @pytest.mark.usefixtures("left")
    def test_that_are_young_may_be_in_use(self, store: StateStore) -> None:
        assert list(inspect(store, older_than=HOUR)) == []
        assert [each.place for each in inspect(store, older_than=-HOUR)] == [self.PROBE]

    @pytest.mark.usefixtures("left", "later")
    def test_that_are_old_are_found_by_one_listing(self, store: StateStore, proxy: Proxy) -> None:
        (anomaly,) = inspect(store, older_than=HOUR)
        assert (anomaly.kind, anomaly.place) == ("leftover", self.PROBE)
        assert anomaly.action == "remove"
        assert proxy.count() == ["LIST"]

    @pytest.mark.usefixtures("later")
    def test_are_found_among_many(self, left: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("statekeep_backends.s3.with_s3fs.PAGE", 2)
        for n in range(4):
            left.put(f"{self.PROBE[:-5]}{n}.json", b"")
            left.put(f".statekeep/a{n}.md", b"")
        assert len(list(inspect(left, older_than=HOUR))) == 5

    @pytest.mark.usefixtures("later")
    def test_are_removed_and_nothing_else(self, left: StateStore) -> None:
        before = {entry.key for entry in left.scan()}
        (anomaly,) = inspect(left, older_than=HOUR)
        able = power(left, SupportsInspect)
        assert able
        assert able.repair(anomaly, "quarantine") is None
        assert left.get(self.PROBE) is None
        assert {entry.key for entry in left.scan()} == before
        with pytest.raises(ConflictError):
            able.repair(anomaly, "quarantine")

    @pytest.mark.usefixtures("later")
    def test_that_are_written_anew_stay(self, left: StateStore) -> None:
        (anomaly,) = inspect(left, older_than=HOUR)
        left.put(self.PROBE, b"something else")
        able = power(left, SupportsInspect)
        assert able
        with pytest.raises(ConflictError):
            able.repair(anomaly, "quarantine")
        assert left.get(self.PROBE)

    @pytest.mark.usefixtures("later")
    def test_are_removed_by_the_doctor(self, store: StateStore) -> None:
        store.put(self.PROBE, b"")
        diagnosis = diagnose(store)
        assert [(each.kind, each.place) for each in diagnosis.problems] == [
            ("leftover", self.PROBE)
        ]
        assert repair(store, diagnosis).healthy
        assert diagnose(store).healthy


@pytest.mark.rest
class TestThrottling(AnyServer):
    @pytest.mark.parametrize(
        "answer", [(503, "SlowDown"), (503, ""), (500, "InternalError"), (429, "TooManyRequests"),
                   (409, "ConditionalRequestConflict")]
    )  # fmt: skip
    def test_is_waited_out(self, store: StateStore, proxy: Proxy, answer: tuple[int, str]) -> None:
        proxy.fault = Once("PUT", answer, times=2)
        store.put(KEY, b"x", expect=ABSENT)
        assert proxy.count() == ["PUT", "PUT", "PUT"]
        proxy.fault = Once("GET", answer, times=2)
        assert store.get(KEY)

    def test_without_an_end_is_unavailable(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        with open_store(s3_place, **options, retries=2) as store:
            proxy.fault = lambda _: (503, "SlowDown")
            with pytest.raises(UnavailableError, match="retry later") as caught:
                store.get(KEY)
        assert caught.value.key == KEY
        assert proxy.count() == ["GET"] * 3


@pytest.mark.rest
class TestErrors(AnyServer):
    def test_of_a_bucket_that_is_not_there(self, moto_url: str, s3_client: str) -> None:
        place = "s3://no-such-bucket-here/x"
        with open_store(place, endpoint_url=moto_url, client=s3_client) as store:
            for operation in _operations(store):
                with pytest.raises(ConfigError, match="no bucket 'no-such-bucket-here'"):
                    operation()

    def test_of_a_bucket_that_vanishes(self, moto_url: str, s3_client: str) -> None:
        import boto3

        client = boto3.client("s3", endpoint_url=moto_url)
        client.create_bucket(Bucket="vanishing")
        with open_store("s3://vanishing/x", endpoint_url=moto_url, client=s3_client) as store:
            sessions = Sessions(store)
            sessions.get_or_create("ada", "s")
            client.delete_object(Bucket="vanishing", Key="x/sessions/s.json")
            client.delete_bucket(Bucket="vanishing")
            with pytest.raises(ConfigError, match="no bucket"):
                sessions.load("s")
        client.close()

    def test_of_missing_credentials(
        self, s3_place: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with open_store(s3_place, **options) as store:
            for operation in _operations(store):
                with pytest.raises(AccessDeniedError, match="AWS_ACCESS_KEY_ID") as caught:
                    operation()
                assert caught.value.landed != "unknown"

    def test_of_wrong_credentials(
        self,
        seaweedfs_url: str,
        make_s3_place: Any,
        s3_client: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        place = make_s3_place(seaweedfs_url)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
        with open_store(place, endpoint_url=seaweedfs_url, client=s3_client) as store:
            for operation in _operations(store):
                with pytest.raises(AccessDeniedError) as caught:
                    operation()
                assert "hunter2" not in str(caught.value)

    def test_of_a_refused_connection(self, s3_place: str, s3_client: str) -> None:
        dead = f"http://127.0.0.1:{servers.free_port()}"
        with open_store(s3_place, endpoint_url=dead, client=s3_client, retries=1) as store:
            for operation in _operations(store):
                with pytest.raises(UnavailableError, match="no answer"):
                    operation()

    def test_of_a_server_that_does_not_answer(
        self, proxy: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        proxy.fault = lambda _: 1.0
        with (
            open_store(s3_place, **options, read_timeout=0.2, retries=1) as store,
            pytest.raises(UnavailableError, match="no answer"),
        ):
            store.get(KEY)

    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"endpoint_url": "nonsense"}, "endpoint"),
            ({"profile": "nobody"}, "nobody"),
            ({"region": "no region"}, "region"),
        ],
    )
    def test_of_a_wrong_option(
        self, options: dict[str, Any], wrong: dict[str, str], why: str
    ) -> None:
        with (
            pytest.raises(ConfigError, match=why),
            open_store("s3://bucket/x", **{**options, **wrong}) as store,
        ):
            store.get(KEY)

    @pytest.mark.parametrize(
        ("status", "code", "error", "why"),
        [
            (403, "AccessDenied", AccessDeniedError, "policy"),
            (403, "InvalidAccessKeyId", AccessDeniedError, "sign in"),
            (301, "PermanentRedirect", ConfigError, "region"),
            (400, "AuthorizationHeaderMalformed", ConfigError, "region"),
            (400, "KeyTooLongError", InvalidKeyError, "too long"),
            (501, "NotImplemented", UnsupportedError, "NotImplemented"),
            (400, "InvalidRequest", UnsupportedError, "InvalidRequest"),
        ],
    )
    def test_of_every_kind_have_our_words(
        self,
        store: StateStore,
        proxy: Proxy,
        status: int,
        code: str,
        error: type[StateStoreError],
        why: str,
    ) -> None:
        # The library asks by HEAD where the bucket is when it is sent elsewhere.
        proxy.fault = lambda request: None if request.method == "HEAD" else (status, code)
        for operation in _operations(store):
            with pytest.raises(error, match=why) as caught:
                operation()
            assert caught.value.store == str(store)

    def test_of_one_object_of_a_bulk_delete(
        self, store: StateStore, proxy: Proxy, s3_place: str
    ) -> None:
        name = f"{s3_place.split('/', 3)[3]}/{KEY}"
        said = f"<Key>{name}</Key><Code>AccessDenied</Code><Message>no: (never)</Message>"
        proxy.fault = lambda _: f"<DeleteResult><Error>{said}</Error></DeleteResult>".encode()
        with pytest.raises(AccessDeniedError, match=r"no: \(never\)") as caught:
            delete_many(store, ["other.md", KEY])
        assert caught.value.key == KEY

    def test_of_one_of_many_reads_ends_them(self, store: StateStore, proxy: Proxy) -> None:
        proxy.fault = lambda request: (501, "Odd") if request.path.endswith("7.md") else None
        with pytest.raises(UnsupportedError, match="Odd") as caught:
            dict(get_many(store, [f"a/{n}.md" for n in range(100)]))
        assert caught.value.key
        time.sleep(0.1)
        assert len(proxy.count()) < 100
        time.sleep(0.2)
        assert proxy.count() == []  # the others are not sent on for nobody
        proxy.fault = lambda request: (
            (403, "AccessDenied") if request.path.endswith("7.md") else None
        )
        found = dict(get_many(store, ["a/6.md", "a/7.md"]))
        assert found["a/6.md"] is None
        assert isinstance(found["a/7.md"], AccessDeniedError)

    @pytest.mark.parametrize(
        "key",
        [
            "notes/Server returned non-2xx status code: 503 <Code>SlowDown</Code>.json",
            'notes/", status: 503, "<Error><Code>NoSuchBucket</Code></Error>.json',
            "notes/SlowDown and InternalError.json",
            "404",
        ],
    )
    def test_are_not_read_out_of_a_key(self, store: StateStore, proxy: Proxy, key: str) -> None:
        assert store.get(key) is None
        version = store.put(key, b"x", expect=ABSENT)
        with pytest.raises(ConflictError):
            store.put(key, b"y", expect=ABSENT)
        assert [entry.key for entry in store.scan()] == [key]
        assert store.put(key, b"y", expect=version)
        delete_many(store, [key])
        assert proxy.count() == ["GET", "PUT", "PUT", "HEAD", "LIST", "PUT", "POST"]
        assert list(store.scan()) == []

    @pytest.mark.parametrize(
        "url", ["s3:bucket", "s3://", "s3:///x", "s3://b/a/../c", "s3://b?x=1"]
    )
    def test_of_a_wrong_url(self, url: str) -> None:
        with pytest.raises((ConfigError, InvalidKeyError)):
            open_store(url)

    def test_of_a_key_that_is_too_long_with_its_prefix(self, moto_url: str) -> None:
        prefix = "/".join(["p" * 200] * 4)
        with open_store(f"s3://bucket/{prefix}", endpoint_url=moto_url) as store:
            for operation in (store.get, lambda key: store.put(key, b"")):
                with pytest.raises(InvalidKeyError, match="1024"):
                    operation("x" * 250)


def _operations(store: StateStore) -> list[Callable[[], object]]:
    return [
        lambda: store.get(KEY),
        lambda: store.put(KEY, b"x"),
        lambda: store.put(KEY, b"x", expect=ABSENT),
        lambda: store.delete(KEY, expect="x"),  # type: ignore[arg-type]
        lambda: list(store.scan()),
        lambda: delete_many(store, [KEY]),
    ]


@pytest.mark.rest
class TestNeighbours:
    def test_with_a_longer_name_are_never_seen(
        self, s3_place: str, s3_endpoint: str, s3_client: str
    ) -> None:
        options = {"endpoint_url": s3_endpoint, "client": s3_client}
        with (
            open_store(f"{s3_place}/a", **options) as one,
            open_store(f"{s3_place}/ab", **options) as two,
        ):
            one.put("x.md", b"1")
            two.put("x.md", b"2")
            two.put("b/x.md", b"3")
            assert [entry.key for entry in one.scan()] == ["x.md"]
            assert sorted(entry.key for entry in two.scan()) == ["b/x.md", "x.md"]

    @pytest.mark.parametrize("session_id", ["../../outside", "/etc", "a/b//c", "😀", "x" * 512])
    def test_are_safe_from_hostile_ids(
        self, s3_place: str, s3_endpoint: str, s3_client: str, session_id: str
    ) -> None:
        options = {"endpoint_url": s3_endpoint, "client": s3_client}
        with (
            open_store(f"{s3_place}/a", **options) as inner,
            open_store(s3_place, **options) as outer,
        ):
            sessions = Sessions(inner)
            sessions.save(Session.new("ada", session_id))
            assert [summary.id for summary in sessions.list()] == [session_id]
            assert all(entry.key.startswith("a/sessions/") for entry in outer.scan())
            assert sessions.delete(session_id)


@pytest.fixture(params=["ignores", "rejects"])
def careless(request: pytest.FixtureRequest, moto_url: str) -> Iterator[Proxy]:
    """Before a server that ignores, or does not know, what a request says of conditions."""
    headers = frozenset({"if-match", "if-none-match"})
    if request.param == "ignores":
        with Proxy(moto_url, drop_headers=headers) as proxy:
            yield proxy
    else:
        with Proxy(moto_url) as proxy:
            proxy.fault = lambda request: (
                (501, "NotImplemented") if headers & request.headers.keys() else None
            )
            yield proxy


@pytest.mark.rest
class TestAServerWithoutConditions(AnyServer):
    @pytest.fixture
    def options(self, careless: Proxy, s3_client: str) -> dict[str, Any]:
        return {"endpoint_url": careless.url, "client": s3_client}

    def test_is_found_out_and_refused(self, s3_place: str, options: dict[str, Any]) -> None:
        with open_store(s3_place, **options) as store:
            store.put(KEY, b"1")
            with pytest.raises(UnsupportedError, match="condition of a put"):
                store.put(KEY, b"2", expect=ABSENT)
            with pytest.raises(UnsupportedError, match="condition of a delete"):
                store.delete(KEY, expect=NO_SUCH_VERSION)
            assert not store.capabilities.conditional_put
            assert not store.capabilities.conditional_delete
            assert [entry.key for entry in store.scan()] == [KEY]
            assert list(inspect(store, older_than=-HOUR)) == []

    def test_that_is_known_needs_last_writer_wins(
        self, s3_place: str, options: dict[str, Any]
    ) -> None:
        with open_store(s3_place, **options, conditional="no") as store:
            with pytest.raises(UnsupportedError, match="last-writer-wins"):
                Sessions(store)
            sessions = Sessions(store, conflicts="last-writer-wins")
            sessions.get_or_create("ada", "s")
            sessions.update("s", lambda session: session.add_user_message("x"))
            assert sessions.delete("s")

    @pytest.mark.parametrize("careless", ["ignores"], indirect=True)
    def test_can_be_trusted_at_ones_own_risk(
        self, careless: Proxy, s3_place: str, options: dict[str, Any]
    ) -> None:
        with open_store(s3_place, **options, conditional="yes") as store:
            store.put(KEY, b"1", expect=ABSENT)
            assert careless.count() == ["PUT"]

    def test_lets_the_doctor_remove_what_asked_it(
        self,
        s3_place: str,
        options: dict[str, Any],
        direct: StateStore,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(store_module, "utc_now", lambda: utc_now() + 2 * HOUR)
        direct.put(TestProbes.PROBE, b"")
        with open_store(s3_place, **options) as store:
            report = repair(store, diagnose(store))
            assert report.healthy
            assert len(report.repaired) == 1
        assert direct.get(TestProbes.PROBE) is None


@pytest.mark.rest
class TestTheFirstCallOnAServerWithoutConditions(AnyServer):
    """A client finds out at its first condition that none is honoured: in midst of any call."""

    @pytest.fixture
    def store(
        self, s3_place: str, careless: Proxy, s3_client: str, direct: StateStore
    ) -> Iterator[StateStore]:
        """A fresh client of a place in which there is an old session."""
        Sessions(direct).save(_of_last_month("old"))
        with open_store(s3_place, endpoint_url=careless.url, client=s3_client) as store:
            yield store

    @pytest.fixture
    def sessions(self, store: StateStore) -> Sessions:
        return Sessions(store, conflicts="last-writer-wins")

    def test_may_get_or_create(self, sessions: Sessions, direct: StateStore) -> None:
        sessions.get_or_create("ada", "new")
        assert Sessions(direct).load("new")

    def test_may_create_with_a_random_id(self, sessions: Sessions, direct: StateStore) -> None:
        assert Sessions(direct).load(sessions.get_or_create("ada").id)

    def test_may_save_a_new_session(self, sessions: Sessions, direct: StateStore) -> None:
        sessions.save(Session.new("ada", "new"))
        assert Sessions(direct).load("new")

    def test_may_save_a_new_session_where_there_is_one(self, sessions: Sessions) -> None:
        with pytest.raises(ConflictError, match="exists already"):
            sessions.save(Session.new("ada", "old"))

    def test_may_save_what_was_loaded(self, sessions: Sessions, direct: StateStore) -> None:
        session = sessions.load("old")
        assert session
        session.add_user_message("hello")
        sessions.save(session)
        saved = Sessions(direct).load("old")
        assert saved
        assert saved.user_messages

    def test_may_update(self, sessions: Sessions, direct: StateStore) -> None:
        sessions.update("old", lambda session: session.add_user_message("hello"))
        saved = Sessions(direct).load("old")
        assert saved
        assert saved.user_messages

    def test_may_delete(self, sessions: Sessions, direct: StateStore) -> None:
        assert sessions.delete("old")
        assert list(direct.scan()) == []

    def test_may_delete_into_the_trash(self, sessions: Sessions, direct: StateStore) -> None:
        assert sessions.delete("old", trash=True)
        assert Sessions(direct).load("old") is None
        assert len(Sessions(direct).list_trash()) == 1

    def test_may_restore(self, sessions: Sessions, direct: StateStore) -> None:
        Sessions(direct).delete("old", trash=True)
        sessions.restore("old")
        assert Sessions(direct).load("old")
        assert [each.id for each in Sessions(direct).list_trash()] == ["old"]

    def test_may_prune(self, sessions: Sessions, direct: StateStore) -> None:
        assert len(sessions.prune(load_pruner("ttl")).pruned) == 1
        assert list(direct.scan("sessions")) == []

    def test_may_prune_into_the_trash(self, sessions: Sessions, direct: StateStore) -> None:
        Sessions(direct).save(_of_last_month("older"))
        report = sessions.prune(load_pruner("ttl"), trash=timedelta(days=1))
        assert len(report.pruned) == 2
        assert len(Sessions(direct).list_trash()) == 2
        assert Sessions(direct).list().summaries == ()

    def test_may_prune_in_the_background(self, store: StateStore, direct: StateStore) -> None:
        retention = Retention(load_pruner("ttl"), trash=HOUR, min_idle=0 * HOUR)
        sessions = Sessions(store, conflicts="last-writer-wins", retention=retention)
        with closing(sessions):
            sessions.save(Session.new("ada", "new"), overwrite=True)
        assert direct.get(".statekeep/retention.json")
        assert [each.id for each in Sessions(direct).list().summaries] == ["new"]
        assert len(Sessions(direct).list_trash()) == 1

    def test_may_delete_a_document(self, store: StateStore, direct: StateStore) -> None:
        direct.put(KEY, b"{}")
        assert Documents(store).delete("notes", "plan")
        assert direct.get(KEY) is None

    def test_may_repair(self, store: StateStore, direct: StateStore) -> None:
        direct.put("sessions/broken.json", b"{")
        report = repair(store, diagnose(store))
        assert report.healthy
        assert len(report.repaired) == 1
        assert direct.get("sessions/broken.json") is None


def _of_last_month(session_id: str) -> Session:
    past = utc_now() - timedelta(days=31)
    return Session(id=session_id, user_id="ada", created_at=past, updated_at=past)
