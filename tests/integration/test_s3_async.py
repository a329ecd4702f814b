"""S3 from an event loop: nothing is lost, no request is added, and the loop goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from proxy import DROP, Fault, Proxy, Request

from statekeep import AsyncJournals, AsyncSessions, ConflictError, Session, StateStore, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Which loop a test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[Proxy]:
    with Proxy(s3_endpoint) as proxy:
        yield proxy


@pytest.fixture
def store(s3_place: str, s3_client: str, proxy: Proxy) -> Iterator[StateStore]:
    with open_store(s3_place, endpoint_url=proxy.url, client=s3_client, conditional="yes") as store:
        yield store


class Gate:
    """A fault that keeps the next request of a kind until it is opened."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._open = threading.Event()
        self.came = threading.Event()

    def __call__(self, request: Request) -> Fault:
        if str(request) == self._method:
            self.came.set()
            assert self._open.wait(60)
        return None

    def open(self) -> None:
        self._open.set()

    async def until_it_came(self) -> None:
        with anyio.fail_after(60):
            while not self.came.is_set():  # noqa: ASYNC110 - another thread brings it about
                await anyio.sleep(0.001)


class TestRequests:
    async def test_are_those_of_the_synchronous_calls(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        async with AsyncSessions(store) as sessions, AsyncJournals(store, "c") as journals:
            session = await sessions.get_or_create("ada", "s")
            assert proxy.count() == ["GET", "PUT"]
            await sessions.save(session)
            assert proxy.count() == ["PUT"]
            await sessions.load("s")
            assert proxy.count() == ["GET"]
            await sessions.update("s", lambda same: same.add_user_message("Hello"))
            assert proxy.count() == ["GET", "PUT"]
            await journals.open("a").append([1])
            assert proxy.count() == ["GET", "PUT"]

    async def test_at_once_are_one_for_each_load(self, store: StateStore, proxy: Proxy) -> None:
        async with AsyncSessions(store) as sessions:
            await sessions.save(Session.new("ada", "s"))
            proxy.count()
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(sessions.load, "s")
            assert proxy.count() == ["GET"] * 100

    async def test_whose_answer_is_lost_store_once(self, store: StateStore, proxy: Proxy) -> None:
        dropped: list[Request] = []

        def drop_the_first(request: Request) -> Fault:
            if request.method == "PUT" and not dropped:
                dropped.append(request)
                return DROP
            return None

        async with AsyncSessions(store) as sessions:
            session = await sessions.get_or_create("ada", "s")
            session.add_user_message("Hello")
            proxy.fault = drop_the_first
            await sessions.save(session)
            session.add_user_message("again")
            await sessions.save(session)  # it knows its version
            loaded = await sessions.load("s", required=True)
        assert dropped
        assert [each.content for each in loaded.user_messages] == ["Hello", "again"]


class TestUpdates:
    @pytest.mark.parametrize(
        ("count", "times"), [(4, 10), pytest.param(8, 50, marks=pytest.mark.rest)]
    )
    async def test_of_many_tasks_lose_nothing(
        self, store: StateStore, count: int, times: int
    ) -> None:
        async with AsyncSessions(store) as sessions:
            names = [f"s{number}" for number in range(count)]
            for name in names:
                await sessions.get_or_create("ada", name)
            async with anyio.create_task_group() as tasks:
                for _ in range(times):
                    for name in names:
                        tasks.start_soon(
                            sessions.update, name, lambda same: same.add_user_message("x")
                        )
            found = [await sessions.load(name, required=True) for name in names]
        assert [len(each.user_messages) for each in found] == [times] * count


class TestALoop:
    async def test_goes_on_while_a_server_lets_it_wait(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        async with AsyncSessions(store) as sessions:
            await sessions.save(Session.new("ada", "s"))
            proxy.fault = gate = Gate("GET")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.load, "s")
                await gate.until_it_came()
                for _ in range(100):
                    await anyio.lowlevel.checkpoint()
                gate.open()

    async def test_may_cancel_a_save_that_is_stored_nevertheless(
        self, store: StateStore, proxy: Proxy
    ) -> None:
        async with AsyncSessions(store) as sessions:
            session = await sessions.get_or_create("ada", "s")
            session.add_user_message("Hello")
            proxy.fault = gate = Gate("PUT")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.save, session)
                await gate.until_it_came()
                tasks.cancel_scope.cancel()
            gate.open()
        # To close was to wait for it.
        async with AsyncSessions(store) as sessions:
            loaded = await sessions.load("s", required=True)
            assert [each.content for each in loaded.user_messages] == ["Hello"]
            loaded.add_user_message("Go on.")
            await sessions.save(loaded)
            # Whoever goes on with what was cancelled is told.
            session.add_user_message("lost")
            with pytest.raises(ConflictError):
                await sessions.save(session)
