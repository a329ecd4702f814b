"""Routes to the server that has the keys of a store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import (
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as NotConnectedError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

if TYPE_CHECKING:
    from statekeep_backends.redis.config import Place, RedisConfig

__all__ = ["Route", "make_route"]


class Route:
    """The route to a server, or to a primary that sentinels know.

    Args:
        pool: The connections to it.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def pool(self) -> ConnectionPool:
        """Return the connections to it.

        Raises:
            RedisError, RedisClusterException: It cannot be found.
        """
        return self._pool

    def forget(self) -> None:
        """Find it again next time: one connection has failed, and others may be as bad."""
        self.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.disconnect(inuse_connections=False)


class _ToCluster(Route):
    """The route to the cluster node that has the slot."""

    def __init__(self, place: Place, options: dict[str, Any]) -> None:
        self._place = place
        self._options = options
        self._cluster: RedisCluster | None = None
        self._is_stale = False
        self._looking = threading.Lock()

    def pool(self) -> ConnectionPool:
        # The search asks each server in turn, and other threads must not wait for all of that.
        if not self._looking.acquire(timeout=self._options["socket_timeout"]):
            raise NotConnectedError("another thread is still looking for the cluster's nodes")
        try:
            if self._cluster is None:
                nodes = [ClusterNode(*each) for each in self._place.hosts]
                self._cluster = RedisCluster(startup_nodes=nodes, **self._options)
            elif self._is_stale:
                self._cluster.nodes_manager.initialize()
            self._is_stale = False
            slot = self._cluster.keyslot(self._place.base)
            node = self._cluster.nodes_manager.get_node_from_slot(slot)
            found: ConnectionPool = self._cluster.get_redis_connection(node).connection_pool
        finally:
            self._looking.release()
        return found

    def forget(self) -> None:
        self.close()
        self._is_stale = True

    def close(self) -> None:
        for node in self._cluster.get_nodes() if self._cluster else ():
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect(inuse_connections=False)


def make_route(place: Place, config: RedisConfig) -> Route:
    """Create the route to a place, without connecting."""
    options: dict[str, Any] = {
        **config.sign_in(),
        "socket_timeout": config.timeout,
        "socket_connect_timeout": config.connect_timeout,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),  # the library must not send anything twice
    }
    if place.tls:
        options |= config.files_of_tls()
    if config.cluster:
        return _ToCluster(place, {"ssl": place.tls, **options})
    options["db"] = place.db
    if config.sentinel:
        waits = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
        sentinels = Sentinel([*place.hosts], sentinel_kwargs=waits)
        pool: ConnectionPool = SentinelConnectionPool(
            config.sentinel, sentinels, ssl=place.tls, **options
        )
    elif place.socket is not None:
        pool = ConnectionPool(UnixDomainSocketConnection, path=place.socket, **options)
    else:
        ((host, port),) = place.hosts
        kind = SSLConnection if place.tls else Connection
        pool = ConnectionPool(kind, host=host, port=port, **options)
    return Route(pool)
