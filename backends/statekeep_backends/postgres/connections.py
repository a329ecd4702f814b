"""Connections to a server: each runs one statement at a time, and none is used across a fork."""

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
"""Seconds of disuse after which a connection is checked before it is used again."""

_SLICE: Final = 0.05
_SHORTEST_PAUSE, _ATTEMPTS = 0.01, 8


class UnsentError(Exception):
    """There is no connection, so nothing was sent."""


class LostError(Exception):
    """The connection broke, or no answer came in time, after a statement was sent."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no statement waits forever."""

    limit: float = 30.0
    used: float = 0.0

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Wait as long as necessary, for statements that process whole tables."""
        limit, self.limit = self.limit, inf
        try:
            yield
        finally:
            self.limit = limit

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Wait for the server, but not longer than the limit."""
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
    """Hides the pool's messages about its connections, since whoever asks for one gets an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        return about != _NAME and not isinstance(about, Connection)


logging.getLogger("psycopg.pool").addFilter(_Quiet())


class Connections:
    """The connections of one store.

    Args:
        conninfo: A URL for libpq.
        options: Options that override it.
        timeout: Seconds to wait for a statement's answer, or for a free connection.
        most: Maximum number of connections open at once.
    """

    def __init__(
        self, conninfo: str, options: Mapping[str, str], *, timeout: float, most: int
    ) -> None:
        self._conninfo = conninfo
        self._options = options
        self._timeout = timeout
        self._most = most
        # By process, so that connections that a child inherits stay unused: closing one would end
        # the parent's session.
        self._pools: dict[int, ConnectionPool[Connection]] = {}
        self._failure: tuple[float, Exception | None] = (-inf, None)
        self._loss = -inf
        self._is_closed = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """Run some work on a connection.

        Args:
            work: Sends statements. It is called again if the server refused because of others,
                for example after a deadlock.

        Raises:
            psycopg.Error: The server refused, and nothing was done.
            UnsentError: Nothing was sent.
            LostError: What was sent may have been done, or may still be done.
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
            time.sleep(random.uniform(0, pause))  # noqa: S311 - to separate those that collided

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
            # Without a lock, which another thread may have held during a fork. A pool that loses
            # the race was never opened.
            pool = self._pools.setdefault(pid, self._make())
            pool.open()
            if self._is_closed:  # in the meantime
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
        # If one connection is lost, those that were idle at that time may be, too.
        if connection.used <= self._loss or time.monotonic() - connection.used > _IDLE:
            ConnectionPool.check_connection(connection)

    def _take(self, pool: ConnectionPool[Connection]) -> Connection:
        began = time.monotonic()
        # A pool keeps trying silently. A caller that waits in vain should learn why at once.
        while True:
            try:
                return pool.getconn(_SLICE)
            except PoolTimeout as error:
                # As long as others use connections, one may be returned.
                failed_at, failure = self._failure
                is_vain = failed_at >= began and not pool.get_stats()["pool_size"]
                if is_vain or time.monotonic() - began >= self._timeout:
                    raise UnsentError from failure if failed_at >= began else error
            except PoolClosed as error:
                raise _closed() from error

    def close(self) -> None:
        """Close all connections; those in use once they are returned."""
        self._is_closed = True
        if pool := self._pools.pop(os.getpid(), None):
            pool.close()


def _closed() -> ClosedError:
    return ClosedError("the store was closed during the call; open it again", landed="no")


def _prepare(connection: Connection) -> None:
    """Let the server plan each statement once, unless there is a pooler in between.

    Prepared statements belong to a session, and a pooler can switch sessions at any time; the
    process id that it reports differs from that of the process that answers.
    """
    row = connection.execute(b"SELECT pg_backend_pid()").fetchone()
    if row and row[0] == connection.info.backend_pid:
        connection.prepare_threshold = 2


def _is_lost(error: psycopg.Error, connection: Connection) -> bool:
    """Whether it is unknown what became of a statement."""
    if connection.closed or connection.broken:
        return True
    state = error.sqlstate
    return state is None and isinstance(error, psycopg.OperationalError)
