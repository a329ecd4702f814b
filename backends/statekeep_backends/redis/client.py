"""Connections to a server that run each script once, and never re-send it automatically.

redis-py would re-send a call without an answer, and a script that had landed would meet its effect.
So this module sends each call itself, on a connection from redis-py's pool, and tells the caller
whether it may have run.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as NotConnectedError
from redis.exceptions import MovedError, NoScriptError, RedisError

from statekeep.observe.emitter import count_request
from statekeep_backends.redis.errors import ANSWERS, FAILURES, LostAnswerError
from statekeep_backends.redis.looks import look
from statekeep_backends.redis.routes import Route, make_route

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.connection import Connection

    from statekeep_backends.redis.config import Place, RedisConfig
    from statekeep_backends.redis.scripts import Script

__all__ = ["Client"]

_MOST_MOVES = 3


class Client:
    """Runs scripts on the keys of one place.

    Args:
        place: The place.
        config: How to connect to it.
        warn: Called with a message for each setting of the server that can lose state.
    """

    def __init__(self, place: Place, config: RedisConfig, warn: Callable[[str], None]) -> None:
        self._place = place
        self._config = config
        self._warn = warn
        self._has_looked = False
        self._is_closed = False
        self._renew()

    def run(self, script: Script, *arguments: str | bytes | int) -> Any:
        """Run a script, and return its result.

        Raises:
            LostAnswerError: It may have run.
            RedisError, RedisClusterException, OSError: It has not run, or its own error says so.
        """
        if self._pid != os.getpid():
            self._renew()
        route, free = self._route, self._free
        if not free.acquire(timeout=self._config.timeout):
            raise NotConnectedError(f"all {self._config.max_connections} connections are in use")
        try:
            for _ in range(_MOST_MOVES):
                try:
                    return self._run(route, script, arguments)
                except MovedError:
                    route.forget()  # a cluster has moved the slot; nothing was run
            return self._run(route, script, arguments)
        finally:
            free.release()

    def _look(self, connection: Connection) -> None:
        if self._has_looked:
            return
        self._has_looked = True  # so that only one of several threads warns
        try:
            look(connection, self._warn)
        except BaseException:
            self._has_looked = False
            raise

    def close(self) -> None:
        """Close all connections; those in use when they are returned."""
        self._is_closed = True
        if self._pid == os.getpid():
            self._route.close()

    def _renew(self) -> None:
        """Start without connections; a forked child drops its parent's without closing them."""
        self._route = make_route(self._place, self._config)
        # Not left to the pools, some of which do not wait.
        self._free = threading.BoundedSemaphore(self._config.max_connections)
        self._pid = os.getpid()

    def _run(self, route: Route, script: Script, arguments: tuple[str | bytes | int, ...]) -> Any:
        try:
            pool = route.pool()
            connection = pool.get_connection()
        except FAILURES:
            route.forget()
            raise
        try:
            self._look(connection)
            keys = (1, self._place.base, *arguments)
            try:
                return _ask(connection, "EVALSHA", script.digest, *keys)
            except NoScriptError:
                return _ask(connection, "EVAL", script.source, *keys)
        except LostAnswerError:
            route.forget()
            raise
        finally:
            if self._is_closed:
                connection.disconnect()
            pool.release(connection)


def _ask(connection: Connection, *command: str | bytes | int) -> Any:
    count_request()
    try:
        connection.send_command(*command)
        return connection.read_response(disconnect_on_error=True)
    except ANSWERS:
        raise
    except (RedisError, OSError, UnicodeError) as error:
        # What is half read or sent must not be mistaken for part of the next answer.
        connection.disconnect()
        raise LostAnswerError from error
