"""The same operations for programs with an event loop: under asyncio, trio and several loops."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, assert_type
from unittest.mock import Mock

import anyio.lowlevel
import pytest
import trio

from statekeep import (
    ABSENT,
    ANY,
    AsyncBlobs,
    AsyncDocuments,
    AsyncJournals,
    AsyncSessions,
    Blobs,
    ConfigError,
    ConflictError,
    Documents,
    Journal,
    Journals,
    JournalSummary,
    Listing,
    NotFoundError,
    Retention,
    Session,
    Sessions,
    SessionSummary,
    Summary,
    UnavailableError,
    UnsupportedError,
    Version,
    open_store,
)
from statekeep.aio import AsyncJournal, Threads
from statekeep.config import load_settings
from statekeep.documents import BlobInfo, Document, LoadedBlob
from statekeep.errors import ClosedError
from statekeep.events import Event, OperationFinished
from statekeep.journals import Draft, Head
from statekeep.retention import Victim
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from statekeep.aio.loops import Call
    from statekeep.store import Blob, Expect

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Which loop an asynchronous test runs on."""
    name: str = request.param
    return name


Runner = Callable[[Coroutine[Any, Any, None]], None]


def _run_trio(main: Coroutine[Any, Any, None]) -> None:
    async def run() -> None:
        await main

    trio.run(run)


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - another thread brings it about
            await anyio.sleep(0.001)


class Gated(MemoryStore):
    """Writes wait at a gate; says how many are there and how many were there at most."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.closed = False
        self.waiting = self.most = 0
        self._count = threading.Lock()

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        with self._count:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
        assert self.gate.wait(60)
        with self._count:
            self.waiting -= 1
        return super().put(key, data, expect=expect)

    def close(self) -> None:
        self.closed = True

    async def until_waiting(self, count: int) -> None:
        await _until(lambda: self.waiting >= count)


@pytest.fixture
def gated() -> Iterator[Gated]:
    store = Gated()
    yield store
    store.gate.set()


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_")}


def needed(twin: type) -> list[str]:
    """What it takes besides the store."""
    return ["c"] if twin in {AsyncJournals, AsyncBlobs} else []


TWINS: list[tuple[type, type]] = [
    (AsyncSessions, Sessions),
    (AsyncJournals, Journals),
    (AsyncDocuments, Documents),
    (AsyncBlobs, Blobs),
]


class TestTheSurface:
    """What is added to `Sessions` or another must be added to its asynchronous twin."""

    @pytest.mark.parametrize(("twin", "original"), [*TWINS, (AsyncJournal, Journal)])
    def test_is_that_of_the_synchronous_class(self, twin: type, original: type) -> None:
        own = {"close"} if twin in {AsyncDocuments, AsyncBlobs} else set()
        assert public(twin).keys() - own == public(original).keys()
        for name, method in public(original).items():
            if name in {"open", "fork"}:
                # What they give has an asynchronous twin itself.
                signature = str(inspect.signature(method)).replace("Journal", "AsyncJournal")
                assert str(inspect.signature(public(twin)[name])) == signature
                # To open waits for nothing.
                assert inspect.iscoroutinefunction(public(twin)[name]) == (name == "fork")
                continue
            if not inspect.isfunction(method):
                assert isinstance(method, property)
                assert isinstance(public(twin)[name], property)
                continue
            mirrored = public(twin)[name]
            assert inspect.iscoroutinefunction(mirrored)
            # The annotation of a coroutine function is what awaiting it gives.
            assert inspect.signature(mirrored) == inspect.signature(method)
            assert mirrored.__doc__

    @pytest.mark.parametrize(("twin", "original"), TWINS)
    def test_is_opened_like_it(self, twin: type, original: type) -> None:
        parameters = dict(inspect.signature(twin).parameters)
        workers = parameters.pop("workers")
        assert parameters == dict(inspect.signature(original).parameters)
        assert workers.kind is inspect.Parameter.KEYWORD_ONLY
        assert workers.default == load_settings().async_workers

    async def test_is_known_to_type_checkers(self) -> None:
        async with AsyncSessions(MemoryStore()) as sessions:
            assert_type(await sessions.load("s"), Session | None)
            with pytest.raises(NotFoundError, match="no such session"):
                assert_type(await sessions.load("s", required=True), Session)
            assert_type(await sessions.list(limit=5), Listing[SessionSummary])
            assert_type(await sessions.get_or_create("ada"), Session)
            with pytest.raises(TypeError):
                await sessions.load("s", user="ada")  # type: ignore[call-overload]
        async with AsyncDocuments(MemoryStore()) as documents:
            assert_type(await documents.load_json("a", "b"), Document[Any] | None)
            assert_type(await documents.load_json("a", "b", type=int), Document[int] | None)
            assert_type(await documents.load_markdown("a", "b"), Document[str] | None)
        async with AsyncJournals(MemoryStore(), "c") as journals:
            journal = assert_type(journals.open("a"), AsyncJournal)
            assert_type(await journal.append([1]), Head)
            assert_type(await journal.read(), list[Any] | None)
            assert_type(await journal.change(lambda draft: draft.length), int)
            assert_type(await journal.fork("b"), AsyncJournal)
            assert_type(await journals.list(), Listing[JournalSummary])
        async with AsyncBlobs(MemoryStore(), "c") as blobs:
            assert_type(await blobs.put(b"", "a.png"), Version)
            assert_type(await blobs.get("a.png"), LoadedBlob | None)
            assert_type(await blobs.list(), tuple[BlobInfo, ...])


class TestOperations:
    async def test_do_what_the_synchronous_ones_do(self, tmp_path: Path) -> None:
        with open_store(tmp_path) as store:
            async with AsyncSessions(store) as sessions:
                session = await sessions.get_or_create("ada", "plan")
                session.add_user_message("Hello")
                await sessions.save(session)
                await sessions.update("plan", lambda s: s.add_user_message("Go on."))
                await sessions.pin("plan")
                assert [each.message_count for each in await sessions.list(user_id="ada")] == [2]
                assert sessions.store is store
            kept = Sessions(store).load("plan")
            assert kept
            assert kept.metadata == {"statekeep.pin": True}
            async with AsyncDocuments(store) as documents:
                await documents.save_json("specs", "limits", {"tokens": 1}, expect=ABSENT)
                await documents.update("specs", "limits", lambda old: old | {"words": 2})
                await documents.save_markdown("specs", "limits", "# Limits\n")
                assert len(await documents.list("specs")) == 2
                assert await documents.delete("specs", "limits", kind="md")
                loaded = await documents.load_json("specs", "limits")
            assert loaded
            assert loaded.value == {"tokens": 1, "words": 2}

    async def test_on_journals_and_blobs_do_the_same(self, tmp_path: Path) -> None:
        with open_store(tmp_path) as store:
            async with AsyncJournals(store, "agents") as journals:
                journal = journals.open("ada", "one")
                await journal.create([1], user_id="ada")
                await journal.append([2, 3], set={"title": "T"})
                assert await journal.change(lambda draft: draft.pop()) == 3
                ref = await journal.attach(b"plot", "plot.png")
                fork = await journal.fork("ada", "two", upto=1)
                await fork.append(["theirs"])
                assert await fork.read() == [1, "theirs"]
                assert await fork.attachments([ref]) == {ref: b"plot"}
                await journal.detach([ref])
                await journal.expire(None)
                await journal.pin()
                await journal.unpin()
                assert [each.name for each in await journals.list("ada")] == [
                    ("ada", "two"), ("ada", "one"),
                ]  # fmt: skip
                assert len([*await journals.heads()]) == 2
                assert (journals.store, journals.collection) == (store, "agents")
                assert (fork.name, repr(fork)) == (("ada", "two"), "AsyncJournal(agents/ada/two)")
                assert await fork.delete()
                assert await journals.delete_below("ada") == 1
                assert await journal.head() is None
            async with AsyncBlobs(store, "plots") as blobs:
                version = await blobs.put(b"GIF89a", "ada", "a.gif")
                loaded = await blobs.get("ada", "a.gif")
                assert loaded
                assert (loaded.data, loaded.version) == (b"GIF89a", version)
                assert blobs.collection == "plots"
                assert await blobs.delete("ada", "a.gif")
                assert await blobs.delete_below() == 0
                assert repr(blobs) == f"AsyncBlobs({store}, 'plots')"

    async def test_lose_no_update(self) -> None:
        async with AsyncSessions(MemoryStore()) as sessions:
            await sessions.get_or_create("ada", "s")
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(sessions.update, "s", lambda s: s.add_user_message("x"))
            session = await sessions.load("s")
        assert session
        assert len(session.user_messages) == 50

    async def test_of_one_journal_are_done_in_their_order(self) -> None:
        store = MemoryStore()
        async with AsyncJournals(store, "c") as journals:
            journal = journals.open("a")
            began: list[int] = []

            async def append(number: int) -> None:
                began.append(number)
                await journal.append([number])

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(append, number)
            assert await journal.read() == began
            assert len(began) == 50
            again = ConflictError("it was changed", key="journals/c/a.jsonl")

            def fail(_: Draft) -> None:
                raise again

            with pytest.raises(ConflictError):
                await journal.change(fail, timeout=timedelta(0))
            await journal.append(["still"])

    async def test_of_one_journal_leave_the_threads_to_others(self, gated: Gated) -> None:
        async with AsyncJournals(gated, "c", workers=2) as journals:
            one = journals.open("one")
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(one.append, [number])
                await gated.until_waiting(1)
                tasks.start_soon(journals.open("two").append, [1])
                await gated.until_waiting(2)  # they have both threads
                gated.gate.set()

    async def test_of_one_journal_wait_for_one_that_was_cancelled(self, gated: Gated) -> None:
        async with AsyncJournals(gated, "c", workers=4) as journals:
            journal = journals.open("a")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.append, [1])
                await gated.until_waiting(1)
                tasks.cancel_scope.cancel()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(journal.append, [2])
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
                gated.gate.set()
            assert await journal.read() == [1, 2]
        assert gated.most == 1

    @pytest.mark.parametrize("run", [asyncio.run, _run_trio], ids=["asyncio", "trio"])
    def test_of_one_journal_may_come_from_several_loops(self, run: Runner) -> None:
        journals = AsyncJournals(MemoryStore(), "c")
        journal = journals.open("a")

        async def append(name: str) -> None:
            for number in range(20):
                await journal.append([[name, number]])

        with ThreadPoolExecutor(3) as pool:
            loops = [pool.submit(run, append(name)) for name in "xyz"]
            for loop in loops:
                loop.result(60)
        items = Journals(journals.store, "c").open("a").read()
        assert items
        for name in "xyz":
            assert [each[1] for each in items if each[0] == name] == [*range(20)]
        asyncio.run(journals.close())

    async def test_raise_what_the_synchronous_ones_raise(self) -> None:
        down = UnavailableError("no answer", key="sessions/s.json")

        class Down(MemoryStore):
            def get(self, key: str) -> Blob | None:  # noqa: ARG002
                raise down

        async with AsyncSessions(MemoryStore()) as sessions, AsyncSessions(Down()) as failing:
            await sessions.save(Session.new("ada", "s"))
            with pytest.raises(ConflictError, match="exists already") as caught:
                await sessions.save(Session.new("eve", "s"))
            assert caught.value.key == "sessions/s.json"
            with pytest.raises(NotFoundError):
                await sessions.update("t", lambda _: None)
            with pytest.raises(UnavailableError) as met:
                await failing.load("s")
            assert met.value is down

    async def test_take_one_hop_into_a_thread_each(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_store(tmp_path) as store:
            async with AsyncSessions(store) as sessions:
                hand_over = Mock(wraps=sessions._threads._hand_over)
                monkeypatch.setattr(sessions._threads, "_hand_over", hand_over)
                session = await sessions.get_or_create("ada", "s")
                await sessions.save(session)
                await sessions.update("s", lambda same: same.add_user_message("Hello"))
                await sessions.load("s")
                await sessions.list()
                assert hand_over.call_count == 5

    async def test_take_the_callers_context_along(self) -> None:
        tenant: ContextVar[str] = ContextVar("tenant")
        seen: list[tuple[str, bool]] = []

        def note(_: object) -> None:
            seen.append((tenant.get(), threading.current_thread() is threading.main_thread()))

        def observe(event: Event) -> None:
            if isinstance(event, OperationFinished):
                note(event)

        async with AsyncSessions(MemoryStore(), observers=[observe]) as sessions:
            tenant.set("blue")
            await sessions.get_or_create("ada", "s")
            tenant.set("red")
            await sessions.update("s", note)
        # The observer, the change and the observer again, each in a thread.
        assert seen == [("blue", False), ("red", False), ("red", False)]

    async def test_refuse_a_change_that_would_have_to_be_awaited(self) -> None:
        async def change(value: Any) -> Any:
            return value

        async with AsyncSessions(MemoryStore()) as sessions:
            await sessions.get_or_create("ada", "s")
            with pytest.raises(TypeError, match="not async"):
                await sessions.update("s", change)
        async with AsyncDocuments(MemoryStore()) as documents:
            with pytest.raises(TypeError, match="not async"):
                await documents.update("a", "b", change)
            assert await documents.list() == ()
        async with AsyncJournals(MemoryStore(), "c") as journals:
            with pytest.raises(TypeError, match="not async"):
                _ = await journals.open("a").change(change)
            assert await journals.open("a").head() is None


class TestThreads:
    """The hop by itself, for several operations in one."""

    async def test_run_a_function_away_from_the_loop_with_the_callers_context(self) -> None:
        tenant: ContextVar[str] = ContextVar("tenant")
        tenant.set("blue")

        def say(*parts: str, end: str) -> tuple[str, bool]:
            is_here = threading.current_thread() is threading.main_thread()
            return " ".join([tenant.get(), *parts]) + end, is_here

        async with Threads(2) as threads:
            assert repr(threads) == "Threads(2)"
            said = assert_type(await threads.run(say, "a", "b", end="!"), tuple[str, bool])
            assert said == ("blue a b!", False)

    async def test_raise_what_it_raises(self) -> None:
        async with Threads() as threads:
            with pytest.raises(ZeroDivisionError):
                await threads.run(lambda: 1 / 0)

    async def test_run_so_many_at_once(self) -> None:
        inside, most = 0, 0
        lock, gate = threading.Lock(), threading.Event()

        def work() -> None:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            gate.wait(60)
            with lock:
                inside -= 1

        async with Threads(3) as threads, anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(threads.run, work)
            await _until(lambda: inside == 3)
            gate.set()
        assert most == 3

    async def test_wait_when_closed_for_what_they_have_and_refuse_the_rest(self) -> None:
        threads = Threads(1)
        done: list[int] = []
        gate, began = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            gate.wait(60)
            done.append(1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(threads.run, work)
            await _until(began.is_set)
            tasks.start_soon(threads.close)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert done == []
            gate.set()
        assert done == [1]
        for refused in (lambda: threads.run(work), threads.__aenter__):
            with pytest.raises(ClosedError, match="this Threads was closed"):
                await refused()
        await threads.close()

    async def test_let_a_call_that_runs_end_before_its_caller_is_cancelled(self) -> None:
        done: list[str] = []
        began, gate = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            gate.wait(60)
            done.append("work")

        async def wait() -> None:
            try:
                await threads.run_to_the_end(work)
            finally:
                done.append("cancelled")

        async with Threads(1) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await _until(began.is_set)
            tasks.start_soon(threads.run_to_the_end, partial(done.append, "never"))
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
                assert done == []
                gate.set()
        assert done == ["work", "cancelled"]

    async def test_give_back_the_room_of_what_was_cancelled(self) -> None:
        async with Threads(1) as threads:
            for _ in range(10):
                gate = threading.Event()
                async with anyio.create_task_group() as tasks:
                    for _ in range(5):
                        tasks.start_soon(threads.run, gate.wait)
                    for _ in range(10):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                gate.set()
            with anyio.fail_after(60):
                assert await threads.run(lambda: 1) == 1

    async def test_say_that_no_thread_can_be_started_and_go_on(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Threads(1) as threads:
            with monkeypatch.context() as patch:
                full = Mock(side_effect=RuntimeError("can't start new thread"))
                patch.setattr(threads._pool._executor, "submit", full)
                for _ in range(5):
                    with pytest.raises(RuntimeError, match="can't start new thread"):
                        await threads.run(lambda: 1)
            assert await threads.run(lambda: 1) == 1

    async def test_let_the_loop_rest_while_a_cancelled_caller_waits(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        began, gate, waits = threading.Event(), threading.Event(), 0
        wait = asyncio.wait

        async def counting(*arguments: Any) -> Any:
            nonlocal waits
            waits += 1
            return await wait(*arguments)

        def work() -> None:
            began.set()
            gate.wait(60)

        monkeypatch.setattr(asyncio, "wait", counting)
        async with Threads(1) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(threads.run_to_the_end, work)
            await _until(began.is_set)
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(100):
                    await anyio.lowlevel.checkpoint()
                gate.set()
        assert waits <= 3

    async def test_cancel_with_no_complaint_who_waited_for_a_call_that_failed(self) -> None:
        began, gate = threading.Event(), threading.Event()

        def work() -> None:
            began.set()
            gate.wait(60)
            raise ZeroDivisionError

        async with Threads(1) as threads, anyio.create_task_group() as tasks:
            tasks.start_soon(threads.run_to_the_end, work)
            await _until(began.is_set)
            tasks.cancel_scope.cancel()
            gate.set()
        gc.collect()
        async with Threads(1) as threads:
            with pytest.raises(ZeroDivisionError):
                await threads.run_to_the_end(work)

    async def test_take_plain_functions(self) -> None:
        async with Threads() as threads:
            with pytest.raises(TypeError, match="give one that is not async"):
                _ = await threads.run(anyio.sleep, 0)
            wrong: Any = 5
            with pytest.raises(TypeError, match="function: a function, not int"):
                await threads.run(wrong)

    @pytest.mark.parametrize("size", [0, -1])
    def test_are_at_least_one(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"size must be at least 1, not {size}"):
            Threads(size)


class TestTheLoop:
    async def test_goes_on_while_the_store_waits(self, gated: Gated) -> None:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while beats < 100:
                beats += 1
                await anyio.lowlevel.checkpoint()
            gated.gate.set()

        async with AsyncSessions(gated, workers=1) as sessions:
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(sessions.save, Session.new("ada", "s"))
                    await gated.until_waiting(1)
                    tasks.start_soon(beat)
        assert beats == 100
        assert Sessions(gated).load("s")

    async def test_hands_over_no_more_at_once_than_there_are_workers(self, gated: Gated) -> None:
        async with AsyncSessions(gated, workers=3) as sessions:
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(sessions.save, Session.new("ada", str(number)))
                await gated.until_waiting(3)
                gated.gate.set()
            assert len(await sessions.list()) == 10
        assert gated.most == 3

    async def test_is_not_held_up_by_thousands_that_are_begun_at_once(
        self, gated: Gated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sessions = AsyncSessions(gated, workers=3)
        pool = sessions._threads
        handed_over = 0
        began = 0
        hand_over = pool._hand_over

        def count(*args: Any) -> Any:
            nonlocal handed_over
            handed_over += 1
            assert began == 2000  # so no thread worked while the others were begun
            return hand_over(*args)

        async def save(number: int) -> None:
            nonlocal began
            began += 1
            await sessions.save(Session.new("ada", str(number)))

        monkeypatch.setattr(pool, "_hand_over", count)
        async with sessions, anyio.create_task_group() as tasks:
            for number in range(2000):
                tasks.start_soon(save, number)
            await gated.until_waiting(3)
            assert handed_over <= 6
            gated.gate.set()
        assert len(Sessions(gated).list()) == 2000

    async def test_is_woken_once_for_calls_that_end_while_it_is_busy(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = threading.Semaphore(0)
        async with Threads(4) as threads:
            loop = threads._pool._loops.get()
            call_soon = Mock(wraps=loop._call_soon)
            monkeypatch.setattr(loop, "_call_soon", call_soon)
            tell = loop._tell

            def telling(call: Call[Any]) -> None:
                tell(call)
                ended.release()

            monkeypatch.setattr(loop, "_tell", telling)

            def all_ended() -> None:
                for _ in range(8):
                    assert ended.acquire(timeout=60)

            gate = threading.Event()
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(threads.run, gate.wait)
                await _until(lambda: len(threads._pool._calls) == 4)
                gate.set()
                all_ended()  # and meanwhile the loop does nothing
            assert call_soon.call_count <= 4  # threads that end at the same moment may each do it

    async def test_hands_a_call_to_a_thread_that_works(
        self, gated: Gated, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with AsyncSessions(gated, workers=2) as sessions:
            calls = sessions._threads._calls
            submit = Mock(wraps=sessions._threads._executor.submit)
            monkeypatch.setattr(sessions._threads._executor, "submit", submit)
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(sessions.save, Session.new("ada", str(number)))
                await _until(lambda: gated.waiting == len(calls) == 2)
                assert submit.call_count == 2
                gated.gate.set()
            assert len(Sessions(gated).list()) == 20

    @pytest.mark.parametrize("workers", [0, -1])
    def test_cannot_do_without_workers(self, workers: int) -> None:
        for twin, _ in TWINS:
            with pytest.raises(ValueError, match=f"^workers must be at least 1, not {workers}$"):
                twin(MemoryStore(), *needed(twin), workers=workers)

    @pytest.mark.parametrize("workers", ["4", 4.0, True, None])
    def test_counts_workers_in_whole_numbers(self, workers: Any) -> None:
        for twin, _ in TWINS:
            with pytest.raises(TypeError, match=r"^workers: an integer, not "):
                twin(MemoryStore(), *needed(twin), workers=workers)

    def test_can_be_one_of_several(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated, workers=2)

        async def save_many(number: int) -> None:
            async with anyio.create_task_group() as tasks:
                for each in range(5):
                    tasks.start_soon(sessions.save, Session.new("ada", f"{number}-{each}"))
                await _until(lambda: gated.most == 2)
                gated.gate.set()

        runners: list[Runner] = [asyncio.run, asyncio.run, _run_trio]
        with ThreadPoolExecutor(len(runners)) as pool:
            loops = [pool.submit(run, save_many(number)) for number, run in enumerate(runners)]
            for loop in loops:
                loop.result(60)
        assert len(Sessions(gated).list()) == 15
        assert gated.most == 2
        asyncio.run(sessions.close())

    @pytest.mark.parametrize("run", [asyncio.run, _run_trio], ids=["asyncio", "trio"])
    def test_can_be_gone_before_an_operation_ends(
        self, gated: Gated, run: Runner, caplog: pytest.LogCaptureFixture
    ) -> None:
        sessions = AsyncSessions(gated)

        async def begin() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.save, Session.new("ada", "s"))
                await gated.until_waiting(1)
                tasks.cancel_scope.cancel()

        run(begin())
        gated.gate.set()
        run(sessions.close())
        assert Sessions(gated).load("s")
        assert not caplog.records

    @pytest.mark.parametrize("run", [asyncio.run, _run_trio], ids=["asyncio", "trio"])
    def test_is_not_kept_after_its_operations(self, gated: Gated, run: Runner) -> None:
        sessions = AsyncSessions(gated, workers=1)
        loops: list[weakref.ref[object]] = []

        async def wait_for_turns() -> None:
            trio_runs = run is _run_trio
            loop = trio.lowlevel.current_trio_token() if trio_runs else asyncio.get_running_loop()
            loops.append(weakref.ref(loop))
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(sessions.save, Session.new("ada", str(number)))
                await gated.until_waiting(1)
                gated.gate.set()

        run(wait_for_turns())
        gc.collect()
        assert [loop() for loop in loops] == [None]
        run(sessions.close())

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_that_is_gone_with_all_its_tasks_is_not_waited_for(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated, workers=1)
        loop = asyncio.new_event_loop()
        tasks = [
            loop.create_task(sessions.save(Session.new("ada", str(number)))) for number in range(4)
        ]
        calls = sessions._threads._calls
        loop.run_until_complete(_until(lambda: gated.waiting == 1 and len(calls) == 1))
        loop.close()
        gated.gate.set()
        asyncio.run(asyncio.wait_for(sessions.close(), 60))
        # What a thread had was stored.
        assert {each.id for each in Sessions(gated).list()} == {"0", "1"}
        del tasks
        gc.collect()  # here, where its complaints are expected

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_can_run_in_a_forked_child(self) -> None:
        sessions = AsyncSessions(MemoryStore(), workers=1)
        asyncio.run(sessions.get_or_create("ada", "s"))
        child = os.fork()
        if child == 0:
            found = asyncio.run(asyncio.wait_for(sessions.load("s"), 30))
            os._exit(0 if found else 1)
        assert os.waitpid(child, 0)[1] == 0
        asyncio.run(sessions.close())

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_can_be_left_in_a_forked_child(self) -> None:
        opened = AsyncSessions.open("memory:")
        loop = asyncio.new_event_loop()
        sessions = loop.run_until_complete(opened.__aenter__())
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            fresh = asyncio.new_event_loop()
            fresh.run_until_complete(sessions.get_or_create("ada"))
            fresh.run_until_complete(opened.__aexit__(None, None, None))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        loop.run_until_complete(opened.__aexit__(None, None, None))
        loop.close()

    async def test_ends_even_if_the_callers_function_raises_stop_iteration(self) -> None:
        async with AsyncSessions(MemoryStore()) as sessions:
            await sessions.get_or_create("ada", "s")
            with anyio.fail_after(20), pytest.raises(RuntimeError, match="StopIteration"):
                await sessions.update("s", lambda _: next(iter(())))


class TestCancelling:
    async def test_ends_the_wait_at_once_and_the_operation_may_still_commit(
        self, gated: Gated
    ) -> None:
        async with AsyncSessions(gated) as sessions:
            with anyio.fail_after(60):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(sessions.save, Session.new("ada", "s"))
                    await gated.until_waiting(1)
                    tasks.cancel_scope.cancel()
            assert gated.waiting == 1
            assert await sessions.load("s") is None
            gated.gate.set()
        # Closing has waited for it.
        assert Sessions(gated).load("s")

    async def test_what_waits_for_a_thread_never_runs(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated, workers=1)
        calls = sessions._threads._calls
        async with sessions, anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.save, Session.new("ada", "first"))
            await gated.until_waiting(1)
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(sessions.save, Session.new("ada", "second"))
                await _until(lambda: len(calls) == 1)
                cancelled.cancel_scope.cancel()
            gated.gate.set()
        assert [each.id for each in Sessions(gated).list()] == ["first"]

    async def test_with_a_time_limit(self, gated: Gated) -> None:
        async with AsyncSessions(gated) as sessions:
            with pytest.raises(TimeoutError), anyio.fail_after(0.01):
                await sessions.save(Session.new("ada", "s"))
            gated.gate.set()


class TestClosing:
    async def test_does_not_close_the_store(self, gated: Gated) -> None:
        async with AsyncSessions(gated) as sessions, AsyncDocuments(gated) as documents:
            assert await documents.list() == ()
        assert not gated.closed
        await sessions.close()

    async def test_refuses_every_operation_from_then_on(self, gated: Gated) -> None:
        sessions, documents = AsyncSessions(gated), AsyncDocuments(gated)
        journals, blobs = AsyncJournals(gated, "c"), AsyncBlobs(gated, "c")
        journal = journals.open("a")
        for each in (sessions, documents, journals, blobs):
            await each.close()
        calls: list[tuple[Callable[[], Coroutine[Any, Any, object]], str | None]] = [
            (sessions.list, None),
            (partial(sessions.load, "s"), None),
            (partial(sessions.save, Session.new("ada", "s")), "no"),
            (partial(sessions.update, "s", print), "no"),
            (documents.list, None),
            (partial(documents.load_json, "a", "b"), None),
            (partial(documents.save_json, "a", "b", 1), "no"),
            (journals.list, None),
            (partial(journals.delete_below, "a"), "no"),
            (journal.head, None),
            (journal.read, None),
            (partial(journal.attachments, []), None),
            (partial(journal.append, [1]), "no"),
            (partial(journal.fork, "b"), "no"),
            (partial(journal.attach, b"", "a"), "no"),
            (blobs.list, None),
            (partial(blobs.get, "a"), None),
            (partial(blobs.put, b"", "a"), "no"),
        ]
        for call, landed in calls:
            with pytest.raises(ClosedError, match="open it again") as caught:
                await call()
            assert caught.value.landed == landed
        assert list(gated.scan()) == []

    async def test_refuses_what_still_waits_for_a_thread(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated, workers=1)
        ended: list[object] = []

        async def save(number: int) -> None:
            try:
                ended.append(await sessions.save(Session.new("ada", str(number))))
            except ClosedError as error:
                ended.append(error.landed)

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(save, number)
            calls = sessions._threads._calls
            await _until(lambda: gated.waiting == 1 and len(calls) == 1)
            tasks.start_soon(sessions.close)
            await _until(lambda: sessions._threads._closed)
            gated.gate.set()
        assert len(ended) == 5
        assert ended.count("no") == 3
        assert len(Sessions(gated).list()) == 2

    async def test_cannot_be_entered_afterwards(self, gated: Gated) -> None:
        for twin, _ in TWINS:
            each = twin(gated, *needed(twin))
            await each.close()
            with pytest.raises(ClosedError, match="open it again") as caught:
                async with each:
                    pass
            assert caught.value.landed is None

    async def test_with_a_wrong_argument_closes_nothing(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated)
        wrong: Any = 5
        with pytest.raises(TypeError, match="timeout: a timedelta, not int"):
            await sessions.close(wrong)
        assert await sessions.list() is not None
        await sessions.close()

    async def test_waits_for_a_prune_in_the_background(self, gated: Gated) -> None:
        gated.gate.set()
        began, go_on = threading.Event(), threading.Event()

        class Everything:
            def select(
                self,
                summaries: Sequence[Summary],
                now: datetime,  # noqa: ARG002
            ) -> list[Victim]:
                began.set()
                assert go_on.wait(60)
                return [Victim(each, "all must go") for each in summaries]

        retention = Retention(Everything(), min_idle=timedelta(0))
        Sessions(gated).get_or_create("ada", "old")
        async with AsyncSessions(gated, retention=retention) as sessions:
            await sessions.save(Session.new("ada", "new"))
            await _until(began.is_set)
            threading.Timer(0.1, go_on.set).start()
        assert go_on.is_set()

    async def test_does_not_hold_up_the_loop(self, gated: Gated) -> None:
        sessions = AsyncSessions(gated)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.save, Session.new("ada", "s"))
            await gated.until_waiting(1)
            tasks.start_soon(sessions.close)
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            gated.gate.set()
        assert Sessions(gated).load("s")


class TestOpening:
    @pytest.fixture
    def opened(self, gated: Gated, monkeypatch: pytest.MonkeyPatch) -> Gated:
        """The store that is opened, whatever is configured."""
        monkeypatch.setattr("statekeep.config.opening._make_store", lambda *_: gated)
        return gated

    async def test_opens_what_is_configured_and_closes_it(
        self, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (empty_folder / "statekeep.toml").write_text('url = "./state"\nasync_workers = 3\n')
        async with AsyncSessions.open() as sessions:
            await sessions.get_or_create("ada", "s")
        assert (empty_folder / "state" / "sessions" / "s.json").exists()
        monkeypatch.setenv("STATEKEEP_ASYNC_WORKERS", "0")
        with pytest.raises(ConfigError, match="async_workers"):
            async with AsyncSessions.open():
                pass

    @pytest.mark.usefixtures("empty_folder")
    async def test_gives_what_can_be_used_at_once(self, opened: Gated) -> None:
        opened.gate.set()
        sessions = AsyncSessions.open()
        await sessions.get_or_create("ada", "s")
        assert repr(sessions) == f"AsyncSessions({opened})"
        await sessions.close()
        assert opened.closed
        with pytest.raises(ClosedError):
            await sessions.load("s")

    @pytest.mark.usefixtures("empty_folder")
    async def test_takes_the_workers_from_the_settings(self, opened: Gated) -> None:
        opening = AsyncSessions.open(load_settings(async_workers=2))
        async with opening as sessions, anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(sessions.save, Session.new("ada", str(number)))
            await opened.until_waiting(2)
            opened.gate.set()
        assert opened.most == 2
        assert opened.closed

    @pytest.mark.usefixtures("empty_folder")
    async def test_says_what_is_wrong(self) -> None:
        with pytest.raises(UnsupportedError, match="last-writer-wins"):
            async with AsyncSessions.open("fsspec+memory://x"):
                pass

    @pytest.mark.usefixtures("empty_folder")
    async def test_closes_after_an_error(self, opened: Gated) -> None:
        with pytest.raises(KeyError):
            async with AsyncSessions.open():
                raise KeyError
        assert opened.closed

    @pytest.mark.usefixtures("empty_folder")
    async def test_leaves_after_what_was_cancelled_has_ended(
        self, opened: Gated, anyio_backend: str
    ) -> None:
        left: list[tuple[bool, int]] = []

        async def program() -> None:
            try:
                async with AsyncSessions.open() as sessions:
                    await sessions.save(Session.new("ada", "s"))
            finally:
                left.append((opened.closed, opened.waiting))

        async def cancel(scope: trio.CancelScope | asyncio.Task[None]) -> None:
            await opened.until_waiting(1)
            scope.cancel()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            assert left == []
            opened.gate.set()

        # Each by its own means: asyncio interrupts once, trio at every wait.
        if anyio_backend == "trio":
            async with trio.open_nursery() as outer, trio.open_nursery() as inner:
                outer.start_soon(cancel, inner.cancel_scope)
                inner.start_soon(program)
        else:
            task = asyncio.create_task(program())
            await cancel(task)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert left == [(True, 0)]
        assert Sessions(MemoryStore(place=opened._place)).load("s")
