"""What the URL of a server may say."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

from statekeep.errors import ConfigError
from statekeep.store import MAX_DOCUMENT_BYTES

if TYPE_CHECKING:
    from statekeep.store import StoreURL

__all__ = ["LARGEST", "Place", "RedisConfig", "SocketConfig"]

LARGEST: Final = 500 * 2**20
"""Bytes that a document may have at most; servers take 512 MiB, by default, in one piece."""

DEFAULT_PREFIX: Final = "statekeep"
DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

_PASSWORDS: Final = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")
_HOST = re.compile(r"(?P<name>\[[^\]]+\]|[^\[\]:@]+)(?::(?P<port>\d{1,5}))?")


class _Common(BaseModel):
    model_config = ConfigDict(extra="forbid")

    username: str | None = None
    """Who signs in; by default the server's own default user."""

    password: SecretStr | None = None
    """By default what the variable ``REDISCLI_AUTH`` or ``VALKEYCLI_AUTH`` says."""

    timeout: PositiveFloat = Field(default=15.0, allow_inf_nan=False)
    """Seconds to wait for an answer, or for a connection that another thread uses."""

    connect_timeout: PositiveFloat = Field(default=5.0, allow_inf_nan=False)
    """Seconds."""

    max_connections: PositiveInt = 50
    """At once; each call uses one."""

    max_document_bytes: PositiveInt = Field(default=MAX_DOCUMENT_BYTES, le=LARGEST)
    """A larger document is not read, but reported, and not written."""

    def sign_in(self) -> dict[str, str | None]:
        """The user and the password, from the options or the environment."""
        found = (os.environ.get(name) for name in _PASSWORDS)
        password = (
            self.password.get_secret_value() if self.password else next(filter(None, found), None)
        )
        return {"username": self.username, "password": password}


class RedisConfig(_Common):
    """Options of a server."""

    cluster: bool = False
    """The server is a part of a cluster."""

    sentinel: str | None = Field(default=None, min_length=1)
    """The name of a primary; the hosts of the URL are the sentinels that know where it is."""

    ssl_ca_certs: str | None = None
    """A file of certificates to trust instead of those of the system; for ``rediss:``."""

    ssl_certfile: str | None = None
    """A file with the client's certificate; for ``rediss:``."""

    ssl_keyfile: str | None = None
    """A file with the private key for it; for ``rediss:``."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.cluster and self.sentinel:
            raise ValueError("a cluster has no sentinels; choose cluster or sentinel")
        return self


class SocketConfig(_Common):
    """Options of a server on this machine."""

    db: NonNegativeInt = 0
    """The number of the database."""

    prefix: str = Field(default=DEFAULT_PREFIX, min_length=1)
    """What the store's keys begin with."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is.

    Attributes:
        hosts: Names and ports of servers; none for a socket.
        socket: The path of a socket.
        db: The number of the database.
        prefix: What the store's keys begin with.
        tls: Whether what is sent is encrypted.
    """

    hosts: tuple[tuple[str, int], ...]
    socket: str | None
    db: int
    prefix: str
    tls: bool = False

    @property
    def base(self) -> str:
        """What all keys of the store begin with: a hash tag, so that they are in one slot.

        >>> Place((), "/s", 0, "acme/{prod}").base
        '{acme/%7Bprod%7D}:'
        """
        prefix = self.prefix.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return f"{{{prefix}}}:"

    def named(self, scheme: str) -> str:
        """The URL of the store, without what else was said.

        >>> Place((("db", 6379),), None, 0, "statekeep").named("redis")
        'redis://db:6379/0/statekeep'
        """
        if self.socket is not None:
            return f"{scheme}:{self.socket}?db={self.db}&prefix={self.prefix}"
        hosts = [
            f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port in self.hosts
        ]
        return f"{scheme}://{','.join(hosts)}/{self.db}/{self.prefix}"

    @classmethod
    def of_socket(cls, url: StoreURL, config: SocketConfig) -> Place:
        """Read ``unix:/path``.

        Raises:
            ConfigError: There is no path.
        """
        return cls((), str(url.path), config.db, config.prefix)

    @classmethod
    def of_servers(cls, url: StoreURL, config: RedisConfig) -> Place:
        """Read ``//host:port,…/database/prefix``; what comes after the hosts may be missing.

        Raises:
            ConfigError: It is something else.
        """
        scheme = url.scheme
        if not url.location.startswith("//"):
            raise ConfigError(f"{scheme}: names a server: {scheme}://host:port/database/prefix")
        authority, _, rest = url.location[2:].partition("/")
        if "@" in authority:
            raise ConfigError(
                f"{scheme}: give the user by the option username, and the password by the "
                "environment, not in the URL"
            )
        port = DEFAULT_SENTINEL_PORT if config.sentinel else DEFAULT_PORT
        hosts = tuple(_host(scheme, each, port) for each in authority.split(","))
        if len(hosts) > 1 and not (config.sentinel or config.cluster):
            raise ConfigError(f"{scheme}: several hosts need the option sentinel or cluster")
        first, _, prefix = rest.strip("/").partition("/")
        if not re.fullmatch(r"\d{1,9}", first):
            first, prefix = "0", rest.strip("/")
        if config.cluster and int(first):
            raise ConfigError(f"{scheme}: a cluster has the database 0 only, not {first}")
        tls = scheme == "rediss"
        if not tls and (config.ssl_ca_certs or config.ssl_certfile or config.ssl_keyfile):
            raise ConfigError(f"{scheme}: sends in the clear; with TLS it is rediss:")
        return cls(hosts, None, int(first), prefix.strip("/") or DEFAULT_PREFIX, tls)


def _host(scheme: str, text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or port) < 2**16:
        raise ConfigError(f"{scheme}: {text!r} is no host and port")
    return match["name"].strip("[]"), int(match["port"] or port)
