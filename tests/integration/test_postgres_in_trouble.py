"""PostgreSQL that does not answer, refuses, or is carried over a fork; and poolers before it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import servers
from tcp_proxy import Fault, TcpProxy

from statekeep import (
    ABSENT,
    AccessDeniedError,
    ClosedError,
    ConfigError,
    ConflictError,
    Journals,
    Sessions,
    StateStore,
    StateStoreError,
    UnavailableError,
    load_pruner,
    open_store,
)
from statekeep.store import ANY, Expect, Seen, vacuum
from statekeep_backends.postgres.store import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

KEY = "notes/plan.md"


@pytest.fixture
def url(postgres_url: str) -> str:
    return f"{postgres_url}?store=s{secrets.token_hex(6)}"


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    with open_store(url) as store:
        assert isinstance(store, PostgresStore)
        yield store


@pytest.fixture
def db(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as db:
        yield db


@pytest.fixture
def server() -> Iterator[servers.Postgres]:
    """One that nobody else needs."""
    with servers.postgres() as server:
        yield server


class Line:
    """A way to a store on which something happens once to a statement with these words."""

    def __init__(self, proxy: TcpProxy, store: PostgresStore) -> None:
        self.store = store
        self._proxy = proxy
        proxy.fault = self._fault
        self._words = b""
        self._what: Fault = None
        self.met = 0

    def fail(self, words: bytes, what: Fault) -> None:
        self._words, self._what = words, what

    def _fault(self, data: bytes) -> Fault:
        if self._what and self._words in data:
            what, self._what = self._what, None
            self.met += 1
            return what
        return None


@pytest.fixture
def line(url: str, store: PostgresStore) -> Iterator[Line]:
    port = int(psycopg.conninfo.conninfo_to_dict(url.partition("?")[0])["port"] or 0)
    with TcpProxy(port) as proxy:
        location = url.replace(f":{port}/", f":{proxy.port}/")
        with open_store(location, timeout=1) as lossy:
            assert isinstance(lossy, PostgresStore)
            store.put(KEY, b"old")
            yield Line(proxy, lossy)


def content(store: StateStore, key: str = KEY) -> bytes | None:
    blob = store.get(key)
    return blob.data if blob else None


class TestAnAnswerThatIsLost:
    """``cut`` is before the server has heard of it, ``drop`` after it has committed."""

    @pytest.mark.parametrize("what", ["cut", "drop"])
    def test_of_what_has_a_condition_is_found_out(
        self, line: Line, store: PostgresStore, what: Fault
    ) -> None:
        version = store.get(KEY).version  # type: ignore[union-attr]
        line.fail(b"UPDATE", what)
        version = line.store.put(KEY, b"new", expect=version)
        assert content(store) == b"new"
        line.fail(b"UPDATE", what)
        version = line.store.append(KEY, b"er", expect=version)
        assert content(store) == b"newer"
        assert store.get(KEY).version == version  # type: ignore[union-attr]
        assert line.met == 2

    @pytest.mark.parametrize("what", ["cut", "drop"])
    @pytest.mark.parametrize("expect", [ANY, ABSENT])
    def test_of_what_expects_no_version_is_found_out_if_it_landed(
        self, line: Line, store: PostgresStore, what: Fault, expect: Expect
    ) -> None:
        line.fail(b"INSERT", what)
        if what == "drop":
            line.store.put("b.md", b"new", expect=expect)
            assert content(store, "b.md") == b"new"
        else:
            with pytest.raises(UnavailableError) as caught:
                line.store.put("b.md", b"new", expect=expect)
            assert caught.value.landed == "unknown"
            assert content(store, "b.md") is None

    def test_of_what_somebody_has_deleted_by_now_does_not_bring_it_back(
        self, line: Line, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = line.store._calls.look

        def look_late(key: str) -> Any:
            monkeypatch.undo()
            store.delete(key, expect=store.get(key).version)  # type: ignore[union-attr]
            return look(key)

        monkeypatch.setattr(line.store._calls, "look", look_late)
        line.fail(b"INSERT", "drop")
        with pytest.raises(UnavailableError) as caught:
            line.store.put("b.md", b"x", expect=ABSENT)
        assert caught.value.landed == "unknown"
        assert content(store, "b.md") is None

    @pytest.mark.parametrize("what", ["cut", "drop"])
    @pytest.mark.parametrize("how", ["delete", "delete of a version", "many", "seen", "records"])
    def test_of_a_delete_or_a_record_is_unknown(
        self, line: Line, store: PostgresStore, how: str, what: Fault
    ) -> None:
        version = store.get(KEY).version  # type: ignore[union-attr]

        def seen() -> None:
            (done,) = line.store.delete_seen([Seen(KEY, version, None)])
            raise done[KEY] or AssertionError

        calls: dict[str, tuple[bytes, Callable[[], object]]] = {
            "delete": (b"DELETE", lambda: line.store.delete(KEY)),
            "delete of a version": (b"DELETE", lambda: line.store.delete(KEY, expect=version)),
            "many": (b"DELETE", lambda: line.store.delete_many([KEY])),
            "seen": (b"DELETE", seen),
            "records": (
                b"recordset",
                lambda: line.store.set_records([(KEY, version, {"v": 1})]),
            ),
        }
        words, call = calls[how]
        line.fail(words, what)
        with pytest.raises(UnavailableError) as caught:
            call()
        assert caught.value.landed == "unknown"
        if how != "records":
            assert content(store) == (None if what == "drop" else b"old")

    @pytest.mark.parametrize("what", ["cut", "drop"])
    def test_of_a_read_is_asked_for_again(self, line: Line, what: Fault) -> None:
        line.fail(b"SELECT key, bytes", what)
        assert content(line.store) == b"old"
        line.fail(b"SELECT key, bytes", what)
        assert [each.key for each in line.store.scan()] == [KEY]
        assert line.met == 2

    def test_is_a_conflict_where_somebody_has_replaced_it(
        self, line: Line, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = store.get(KEY).version  # type: ignore[union-attr]
        look = line.store._calls.look

        def look_late(key: str) -> Any:
            monkeypatch.undo()
            store.put(KEY, b"theirs")
            return look(key)

        monkeypatch.setattr(line.store._calls, "look", look_late)
        line.fail(b"UPDATE", "drop")
        with pytest.raises(ConflictError, match="whether this was written") as caught:
            line.store.put(KEY, b"new", expect=version)
        assert caught.value.landed == "unknown"
        assert content(store) == b"theirs"

    def test_does_not_repeat_a_turn(self, line: Line, store: PostgresStore) -> None:
        mine, theirs = (Journals(each, "support").open("ada") for each in (line.store, store))
        faults: list[Fault] = ["cut", "drop"]
        mine.create([])
        for number, what in enumerate(faults * 3):
            line.fail(b"UPDATE", what)
            mine.append([number])
        assert theirs.read() == [*range(6)]

    def test_that_never_comes_is_waited_for_so_long_as_the_option_says(
        self, line: Line, store: PostgresStore
    ) -> None:
        line.store.get(KEY)
        line.fail(b"INSERT", "hang")
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer within 1 seconds") as caught:
            line.store.put(KEY, b"new")
        assert caught.value.landed == "unknown"
        assert time.monotonic() - began < 20
        line.store.put(KEY, b"newer")
        assert content(store) == b"newer"


@pytest.mark.rest
class TestAServer:
    def test_that_is_away_has_got_nothing(self, server: servers.Postgres) -> None:
        with open_store(server.url) as store:
            store.put(KEY, b"old")
            server.stop(signal.SIGINT)
            for call in (lambda: store.put("b.md", b"x"), lambda: store.delete(KEY)):
                with pytest.raises(UnavailableError) as caught:
                    call()
                assert caught.value.landed in {"no", "unknown"}
            with pytest.raises(UnavailableError) as caught:
                store.put("b.md", b"x", expect=ABSENT)
            assert caught.value.landed == "no"
            assert "127.0.0.1" in str(caught.value)
            with pytest.raises(UnavailableError) as caught:
                store.get(KEY)
            assert caught.value.landed is None
            server.start()
            assert content(store) == b"old"
            store.put("b.md", b"x", expect=ABSENT)

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
    def test_that_is_started_again_is_used_as_if_nothing_had_happened(
        self, server: servers.Postgres, how: int
    ) -> None:
        with open_store(server.url) as store:
            version = store.put(KEY, b"0")
            for n in range(1, 4):
                server.restart(how)
                version = store.put(KEY, b"%d" % n, expect=version)
                server.restart(how)
                assert content(store) == b"%d" % n

    def test_that_takes_no_writes_is_read(self, store: PostgresStore, url: str) -> None:
        store.put(KEY, b"old")
        with psycopg.connect(url.partition("?")[0], autocommit=True) as db:
            role = f"r{secrets.token_hex(6)}"
            db.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
            db.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on".encode())
        with open_store(url.replace("postgres@", f"{role}@")) as replica:
            assert content(replica) == b"old"
            with pytest.raises(AccessDeniedError, match="connect to the primary") as caught:
                replica.put(KEY, b"new")
            assert caught.value.landed == "no"

    @pytest.mark.parametrize(
        ("setting", "said"),
        [("statement_timeout = 1", "than the server allows"), ("lock_timeout = 20", "lock")],
    )
    def test_that_gives_up_has_done_nothing(
        self, store: PostgresStore, url: str, db: psycopg.Connection, setting: str, said: str
    ) -> None:
        store.put(KEY, b"old")
        role = f"r{secrets.token_hex(6)}"
        db.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
        db.execute(f"ALTER ROLE {role} SET {setting}".encode())
        name = f"{url.partition('store=')[2]}_documents"
        with open_store(url.replace("postgres@", f"{role}@")) as slow, db.transaction():
            db.execute(f"SELECT FROM {name} FOR UPDATE".encode())
            with pytest.raises(UnavailableError, match=said) as caught:
                slow.put(KEY, b"new")
            assert caught.value.landed == "no"
        assert content(store) == b"old"

    def test_that_ends_a_deadlock_is_asked_again(
        self, store: PostgresStore, url: str, db: psycopg.Connection
    ) -> None:
        name = f"{url.partition('store=')[2]}_documents"
        for key in ("a.md", "b.md"):
            store.put(key, b"x")
        lock = f"SELECT FROM {name} WHERE key = %s FOR UPDATE".encode()
        with ThreadPoolExecutor(1) as pool, db.transaction():
            db.execute(lock, ("b.md",))
            done = []

            def both(connection: psycopg.Connection[Any]) -> None:
                done.append(1)
                if len(done) > 1:
                    return
                with connection.transaction():
                    connection.execute(b"SET LOCAL deadlock_timeout = 100")  # so that it gives way
                    connection.execute(lock, ("a.md",))
                    connection.execute(lock, ("b.md",))

            waiting = pool.submit(store._calls._connections.run, both)
            while not done:
                time.sleep(0.01)
            time.sleep(0.05)
            db.execute(b"SET LOCAL deadlock_timeout = 5000")
            db.execute(lock, ("a.md",))
            waiting.result()
        assert len(done) == 2

    def test_without_that_database_says_so(self, postgres_url: str) -> None:
        with (
            open_store(f"{postgres_url.rpartition('/')[0]}/nowhere") as store,
            pytest.raises(ConfigError, match="nowhere"),
        ):
            store.get(KEY)

    def test_that_has_no_connection_left_says_so(self) -> None:
        with servers.postgres(max_connections="5", superuser_reserved_connections="1") as server:
            with psycopg.connect(server.url, autocommit=True) as db:
                db.execute("CREATE ROLE ada LOGIN")
                db.execute("GRANT CREATE ON SCHEMA public TO ada")
            url = server.url.replace("postgres@", "ada@")
            with ExitStack() as taken, open_store(url) as store:
                with suppress(psycopg.OperationalError):
                    for _ in range(20):
                        taken.enter_context(psycopg.connect(url))
                with pytest.raises(UnavailableError, match="max_connections") as caught:
                    store.put(KEY, b"x")
                assert caught.value.landed == "no"
                taken.close()
                store.put(KEY, b"x")

    @pytest.mark.parametrize("level", ["serializable", "repeatable read"])
    def test_that_isolates_more_than_needed_loses_nothing(
        self, url: str, db: psycopg.Connection, level: str
    ) -> None:
        role = f"r{secrets.token_hex(6)}"
        db.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
        db.execute(f"ALTER ROLE {role} SET default_transaction_isolation = '{level}'".encode())
        with open_store(url.replace("postgres@", f"{role}@")) as store:
            sessions = Sessions(store)
            sessions.get_or_create("ada", "s")
            journal = Journals(store, "support").open("ada")

            def work(worker: int) -> None:
                for n in range(5):
                    sessions.update("s", lambda s: s.add_user_message(f"{worker} {n}"))  # noqa: B023
                    journal.append([[worker, n]])

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(4)))
            assert len(sessions.load("s", required=True).user_messages) == 20
            assert len(journal.read() or ()) == 20
        with ExitStack() as opened:
            new = url.replace("postgres@", f"{role}@") + "x"
            stores = [opened.enter_context(open_store(new)) for _ in range(4)]
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda n: stores[n].put(f"{n}.md", b"x"), range(4)))
            assert len(list(stores[0].scan())) == 4


class TestConnections:
    def test_are_waited_for_when_all_are_in_use(self, url: str) -> None:
        with open_store(f"{url}&max_connections=2") as store, ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda n: store.put(f"{n}.md", b"x"), range(64)))
            assert len(list(store.scan())) == 64

    def test_are_not_waited_for_for_ever(self, url: str) -> None:
        with open_store(f"{url}&max_connections=1&timeout=0.2") as store:
            assert isinstance(store, PostgresStore)
            pool = store._calls._connections._pool()
            taken = pool.getconn()
            with pytest.raises(UnavailableError) as caught:
                store.put(KEY, b"x")
            assert caught.value.landed == "no"
            pool.putconn(taken)
            store.put(KEY, b"x")

    def test_are_closed_with_the_store(self, url: str, db: psycopg.Connection) -> None:
        name = secrets.token_hex(6)

        def count() -> int:
            statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            ((number,),) = db.execute(statement, (name,))
            return int(number)

        store = open_store(url, application_name=name)
        assert count() == 0
        store.put(KEY, b"x")
        assert count() == 1
        store.close()
        deadline = time.monotonic() + 10
        while count() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert count() == 0
        with pytest.raises(ClosedError):
            store.get(KEY)

    @forks
    def test_are_not_carried_over_a_fork(self, store: PostgresStore) -> None:
        store.put(KEY, b"old")
        for n in range(3):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                ok = content(store) is not None
                store.put(f"child/{n}.md", b"x")
                store.close()
                os._exit(0 if ok else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert content(store) == b"old"
            store.put(KEY, b"old")
        assert len(list(store.scan("child"))) == 3

    def test_prepare_what_they_send_again(self, store: PostgresStore) -> None:
        for _ in range(4):
            store.put(KEY, b"x")

        def prepared(db: psycopg.Connection[Any]) -> list[str]:
            found = db.execute("SELECT statement FROM pg_prepared_statements").fetchall()
            return [statement for (statement,) in found]

        assert any("INSERT" in each for each in store._calls._connections.run(prepared))


class TestPieces:
    """What is appended lies beside the document until the next put."""

    def test_of_a_document_that_is_replaced_meanwhile_do_not_count(
        self, store: PostgresStore, url: str, db: psycopg.Connection
    ) -> None:
        version = store.put(KEY, b"0")
        done = threading.Event()
        sizes: set[bytes | None] = set()

        def append() -> None:
            nonlocal version
            while not done.is_set():
                try:
                    blob = store.get(KEY)
                    assert blob
                    store.append(KEY, b"a", expect=blob.version)
                except ConflictError:
                    pass

        def read() -> None:
            while not done.is_set():
                sizes.add(content(store))

        threads = [threading.Thread(target=each) for each in (append, append, read)]
        for each in threads:
            each.start()
        for _ in range(200):
            store.put(KEY, b"0")
        done.set()
        for each in threads:
            each.join()
        assert all(each and each.strip(b"a") == b"0" for each in sizes)
        store.put(KEY, b"0")
        vacuum(store)
        ((left,),) = db.execute(
            f"SELECT count(*) FROM {url.partition('store=')[2]}_appended".encode()
        )
        assert left == 0

    def test_that_are_missing_are_told_from_a_document(
        self, store: PostgresStore, url: str, db: psycopg.Connection
    ) -> None:
        version = store.put(KEY, b"0")
        store.append(KEY, b"1", expect=version)
        store.put("b.md", b"x")
        assert list(store.inspect(older_than=timedelta(0))) == []
        db.execute(f"DELETE FROM {url.partition('store=')[2]}_appended".encode())
        with pytest.raises(StateStoreError, match="not whole"):
            store.get(KEY)
        assert content(store, "b.md") == b"x"
        (found,) = store.inspect(older_than=timedelta(0))
        assert (found.kind, found.place, found.action) == ("damage", KEY, None)
        store.put(KEY, b"mended")
        assert content(store) == b"mended"


@contextmanager
def pgbouncer(folder: Path, port: int) -> Iterator[str]:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.fail("pgbouncer is not installed: apt-get install pgbouncer")
    own = servers.free_port()
    folder.chmod(0o755)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
        [databases]
        * = host=127.0.0.1 port={port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {own}
        unix_socket_dir =
        auth_type = trust
        auth_file = {folder}/users
        pool_mode = transaction
        default_pool_size = 3
        """
    )

    def is_up() -> None:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{own}/postgres").close()
        except psycopg.OperationalError as error:
            raise OSError from error

    user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    command = [program, str(folder / "pgbouncer.ini")]
    with servers.Daemon(command, is_up, folder / "log", **user):
        yield f"postgresql://postgres@127.0.0.1:{own}/postgres"


@pytest.mark.rest
class TestAPooler:
    """pgbouncer in transaction mode gives each statement any session."""

    @pytest.fixture
    def pooled(self, url: str) -> Iterator[str]:
        address, _, query = url.partition("?")
        port = int(psycopg.conninfo.conninfo_to_dict(address)["port"] or 0)
        with tempfile.TemporaryDirectory() as name, pgbouncer(Path(name), port) as way:
            yield f"{way}?{query}"

    def test_in_transaction_mode_changes_nothing(self, pooled: str) -> None:
        with open_store(pooled) as store, ThreadPoolExecutor(8) as pool:
            sessions = Sessions(store)
            sessions.get_or_create("ada", "s")
            journal = Journals(store, "support").open("ada")

            def work(worker: int) -> None:
                for n in range(10):
                    sessions.update("s", lambda s: s.add_user_message(f"{worker} {n}"))  # noqa: B023
                    journal.append([[worker, n]])
                    sessions.get_or_create(f"user {worker}")

            list(pool.map(work, range(8)))
            assert len(sessions.load("s", required=True).user_messages) == 80
            assert len(journal.read() or ()) == 80
            assert len(sessions.list()) == 81
            assert isinstance(store, PostgresStore)
            assert not store._calls._connections.run(lambda db: db.prepare_threshold)
            vacuum(store)
            sessions.prune(load_pruner("max-sessions", max_sessions=1))
            assert len(sessions.list()) == 1
            assert list(store.inspect(older_than=timedelta(0))) == []
