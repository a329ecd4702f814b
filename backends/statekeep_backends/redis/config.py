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

__all__ = ["LARGEST", "Place", "RedisConfig"]

LARGEST: Final = 500 * 2**20
"""Bytes that a document may have at most; servers take 512 MiB, by default, in one piece."""

DEFAULT_PREFIX: Final = "statekeep"
DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

_PASSWORDS: Final = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")
_HOST = re.compile(r"(?P<name>\[[^\]]+\]|[^\[\]:@]+)(?::(?P<port>\d{1,5}))?")


class RedisConfig(BaseModel):
    """Options of a server."""

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

    db: NonNegativeInt | None = None
    """The number of the database; for ``unix:``, elsewhere it is in the path."""

    prefix: str | None = Field(default=None, min_length=1)
    """What the store's keys begin with; for ``unix:``, elsewhere it is in the path."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.cluster and self.sentinel:
            raise ValueError("a cluster has no sentinels; choose cluster or sentinel")
        return self

    def sign_in(self) -> dict[str, str | None]:
        """The user and the password, from the options or the environment."""
        if self.password is not None:
            return {"username": self.username, "password": self.password.get_secret_value()}
        said = [password for name in _PASSWORDS if (password := os.environ.get(name))]
        return {"username": self.username, "password": said[0] if said else None}

    def files_of_tls(self) -> dict[str, str]:
        """The options for TLS that are given, as redis-py names them, too."""
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        return {name: file for name in names if (file := getattr(self, name)) is not None}


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
    def read(cls, url: StoreURL, config: RedisConfig) -> Place:
        """Read a URL.

        Raises:
            ConfigError: It names no such place, or an option is for another kind.
        """
        if config.files_of_tls() and url.scheme != "rediss":
            raise ConfigError(f"{url.scheme}: sends in the clear; with TLS it is rediss:")
        if url.scheme == "unix":
            if config.cluster or config.sentinel:
                raise ConfigError("unix: a socket leads to one server; leave cluster and sentinel")
            return cls((), str(url.path), config.db or 0, config.prefix or DEFAULT_PREFIX)
        if config.db is not None or config.prefix is not None:
            raise ConfigError(
                f"{url.scheme}: database and prefix stand in the path: "
                f"{url.scheme}://host:port/database/prefix"
            )
        return cls._of_servers(url, config)

    @classmethod
    def _of_servers(cls, url: StoreURL, config: RedisConfig) -> Place:
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
        prefix = prefix.strip("/") or DEFAULT_PREFIX
        return cls(hosts, None, int(first), prefix, tls=scheme == "rediss")


def _host(scheme: str, text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or port) < 2**16:
        raise ConfigError(f"{scheme}: {text!r} is no host and port")
    return match["name"].strip("[]"), int(match["port"] or port)
