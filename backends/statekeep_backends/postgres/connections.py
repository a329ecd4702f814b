"""Connections to a server: each serves one statement at a time, and none is carried over a fork."""

from __future__ import annotations

import logging
import os
import random
import time
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from statekeep.errors import ClosedError
from statekeep.events import count_request

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

__all__ = ["Connection", "Connections", "LostError", "UnsentError"]

T = TypeVar("T")

_NAME: Final = "statekeep"
_IDLE: Final = 5.0
"""Seconds after which a connection that nobody used is asked whether it still is one."""

_SLICE: Final = 0.05
_SHORTEST_PAUSE, _ATTEMPTS = 0.01, 8


class UnsentError(Exception):
    """There is no connection, so nothing was sent."""


class LostError(Exception):
    """The connection broke, or nothing came in time, after a statement was sent."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no statement waits for ever."""

    limit: float = 30.0
    used: float = 0.0

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Wait as long as it takes, for what goes over whole tables."""
        limit, self.limit = self.limit, inf
        try:
            yield
        finally:
            self.limit = limit

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Wait for the server, for a bounded time."""
        count_request()
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        deadline = time.monotonic() + self.limit
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                if not ready and time.monotonic() >= deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.limit:g} seconds")
                awaited = gen.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class _Quiet(logging.Filter):
    """Leaves out what the pool says of its connections, because whoever asks for one is told."""

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        return about != _NAME and not isinstance(about, Connection)


logging.getLogger("psycopg.pool").addFilter(_Quiet())


class Connections:
    """The connections of one store.

    Args:
        conninfo: A URL for libpq.
        options: What goes before it.
        timeout: Seconds to wait for a statement's answer, or for a free connection.
        most: How many are open at once, at most.
    """

    def __init__(
        self, conninfo: str, options: Mapping[str, str], *, timeout: float, most: int
    ) -> None:
        self._conninfo = conninfo
        self._options = options
        self._timeout = timeout
        self._most = most
        # By process, so that those that a child inherits stay, unused: to close one would end the
        # session of the parent.
        self._pools: dict[int, ConnectionPool[Connection]] = {}
        self._failure: tuple[float, Exception | None] = (-inf, None)
        self._loss = -inf
        self._is_closed = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work on a connection.

        Args:
            work: Sends statements. What the server refused for the sake of others, because of a
                deadlock, say, is done again.

        Raises:
            psycopg.Error: The server refused, and nothing was done.
            UnsentError: Nothing was sent.
            LostError: What was sent may have been done, or may still be.
        """
        attempts = 0
        while True:
            try:
                return self._run(work)
            except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
                attempts += 1
                if attempts == _ATTEMPTS:
                    raise
            pause = _SHORTEST_PAUSE * 2**attempts
            time.sleep(random.uniform(0, pause))  # noqa: S311 - to part those who met

    def _run(self, work: Callable[[Connection], T]) -> T:
        pool = self._pool()
        connection = self._take(pool)
        try:
            return work(connection)
        except psycopg.Error as error:
            if _is_lost(error, connection):
                self._loss = time.monotonic()
                connection.close()
                raise LostError from error
            raise
        finally:
            connection.used = time.monotonic()
            pool.putconn(connection)

    def _pool(self) -> ConnectionPool[Connection]:
        if self._is_closed:
            raise _closed()
        pid = os.getpid()
        pool = self._pools.get(pid)
        if pool is None:
            # Without a lock, which another thread may have held at a fork. One that loses a race
            # was never opened.
            pool = self._pools.setdefault(pid, self._make())
            pool.open()
            if self._is_closed:  # meanwhile
                pool.close()
        return pool

    def _make(self) -> ConnectionPool[Connection]:
        connections = self

        class Ours(Connection):
            limit = self._timeout

            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Ours:  # noqa: ANN401
                try:
                    connection = super().connect(*args, **kwargs)
                    _prepare(connection)
                except psycopg.Error as error:
                    connections._failure = (time.monotonic(), error)
                    raise
                connection.used = time.monotonic()
                return connection

        return ConnectionPool(
            self._conninfo,
            kwargs={**self._options, "autocommit": True, "prepare_threshold": None},
            connection_class=Ours,
            name=_NAME,
            min_size=0,
            max_size=self._most,
            max_idle=60,
            open=False,
            check=self._check,
            reconnect_timeout=0,
            num_workers=1,
        )

    def _check(self, connection: Connection) -> None:
        # Where one is lost, those that were idle then may be, too.
        if connection.used <= self._loss or time.monotonic() - connection.used > _IDLE:
            ConnectionPool.check_connection(connection)

    def _take(self, pool: ConnectionPool[Connection]) -> Connection:
        began = time.monotonic()
        # A pool goes on trying in silence. Whoever waits is told at once why he waits in vain.
        while True:
            try:
                return pool.getconn(_SLICE)
            except PoolTimeout as error:
                # As long as others use some, one may be given back.
                failed_at, failure = self._failure
                is_vain = failed_at >= began and not pool.get_stats()["pool_size"]
                if is_vain or time.monotonic() - began >= self._timeout:
                    raise UnsentError from failure if failed_at >= began else error
            except PoolClosed as error:
                raise _closed() from error

    def close(self) -> None:
        """Close all connections; those in use once they are given back."""
        self._is_closed = True
        if pool := self._pools.pop(os.getpid(), None):
            pool.close()


def _closed() -> ClosedError:
    return ClosedError("the store was closed meanwhile; open it again", landed="no")


def _prepare(connection: Connection) -> None:
    """Let the server plan a statement once, unless a pooler stands before it.

    What is prepared belongs to a session, and a pooler changes that at any time; the process that
    it names is not the one that answers.
    """
    row = connection.execute(b"SELECT pg_backend_pid()").fetchone()
    if row and row[0] == connection.info.backend_pid:
        connection.prepare_threshold = 2


def _is_lost(error: psycopg.Error, connection: Connection) -> bool:
    """Whether nobody knows what became of a statement."""
    if connection.closed or connection.broken:
        return True
    state = error.sqlstate
    return state is None and isinstance(error, psycopg.OperationalError)
