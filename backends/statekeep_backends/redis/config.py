"""The options of a server, and its URL."""

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
"""Maximum size of a document, in bytes; by default, servers accept 512 MiB in one piece."""

DEFAULT_PREFIX: Final = "statekeep"
DEFAULT_PORT: Final = 6379
DEFAULT_SENTINEL_PORT: Final = 26379

_PASSWORDS: Final = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")
_HOST = re.compile(r"(?P<name>\[[^\]]+\]|[^\[\]:@]+)(?::(?P<port>\d{1,5}))?")


class RedisConfig(BaseModel):
    """Options of a server."""

    model_config = ConfigDict(extra="forbid")

    username: str | None = None
    """The user to sign in as; by default the server's own default user."""

    password: SecretStr | None = None
    """By default the value of the variable ``REDISCLI_AUTH`` or ``VALKEYCLI_AUTH``."""

    timeout: PositiveFloat = Field(default=15.0, allow_inf_nan=False)
    """Seconds to wait for an answer, or for a connection that another thread is using."""

    connect_timeout: PositiveFloat = Field(default=5.0, allow_inf_nan=False)
    """Seconds to wait for a new connection."""

    max_connections: PositiveInt = 50
    """Maximum number of connections at once; each call uses one."""

    max_document_bytes: PositiveInt = Field(default=MAX_DOCUMENT_BYTES, le=LARGEST)
    """Maximum size of a document; a larger one is not written, and reading it is an error."""

    cluster: bool = False
    """Whether the server is part of a cluster."""

    sentinel: str | None = Field(default=None, min_length=1)
    """The name of a primary; the hosts in the URL are the sentinels that know where it is."""

    ssl_ca_certs: str | None = None
    """A file of certificates to trust instead of the system's; for ``rediss:``."""

    ssl_certfile: str | None = None
    """A file with the client's certificate; for ``rediss:``."""

    ssl_keyfile: str | None = None
    """A file with its private key; for ``rediss:``."""

    db: NonNegativeInt | None = None
    """The number of the database; only for ``unix:``, otherwise it is in the path."""

    prefix: str | None = Field(default=None, min_length=1)
    """What the store's keys start with; only for ``unix:``, otherwise it is in the path."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if self.cluster and self.sentinel:
            raise ValueError("a cluster has no sentinels; choose cluster or sentinel")
        return self

    def sign_in(self) -> dict[str, str | None]:
        """Return user and password, from the options or the environment."""
        if self.password is not None:
            return {"username": self.username, "password": self.password.get_secret_value()}
        said = [password for name in _PASSWORDS if (password := os.environ.get(name))]
        return {"username": self.username, "password": said[0] if said else None}

    def files_of_tls(self) -> dict[str, str]:
        """Return the TLS options that are set, under the names that redis-py also uses."""
        names = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
        return {name: file for name in names if (file := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is.

    Attributes:
        hosts: Names and ports of servers; empty for a socket.
        socket: The path of a socket.
        db: The number of the database.
        prefix: What the store's keys start with.
        tls: Whether the connection is encrypted.
    """

    hosts: tuple[tuple[str, int], ...]
    socket: str | None
    db: int
    prefix: str
    tls: bool = False

    @property
    def base(self) -> str:
        """What all keys of the store start with: a hash tag, so that they are in one slot.

        >>> Place((), "/s", 0, "acme/{prod}").base
        '{acme/%7Bprod%7D}:'
        """
        prefix = self.prefix.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return f"{{{prefix}}}:"

    def named(self, scheme: str) -> str:
        """Return the URL of the store, without further options.

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
        """Parse a URL.

        Raises:
            ConfigError: It does not name such a place, or an option does not apply to it.
        """
        if config.files_of_tls() and url.scheme != "rediss":
            raise ConfigError(f"{url.scheme}: is not encrypted; for TLS, use rediss:")
        if url.scheme == "unix":
            if config.cluster or config.sentinel:
                raise ConfigError("unix: a socket leads to one server; omit cluster and sentinel")
            return cls((), str(url.path), config.db or 0, config.prefix or DEFAULT_PREFIX)
        if config.db is not None or config.prefix is not None:
            raise ConfigError(
                f"{url.scheme}: database and prefix belong in the path: "
                f"{url.scheme}://host:port/database/prefix"
            )
        return cls._of_servers(url, config)

    @classmethod
    def _of_servers(cls, url: StoreURL, config: RedisConfig) -> Place:
        scheme = url.scheme
        if not url.location.startswith("//"):
            raise ConfigError(
                f"{scheme}: the URL must name a server: {scheme}://host:port/database/prefix"
            )
        authority, _, rest = url.location[2:].partition("/")
        if "@" in authority:
            raise ConfigError(
                f"{scheme}: pass the user as the option username, and the password through the "
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
            raise ConfigError(f"{scheme}: a cluster has only database 0, not {first}")
        prefix = prefix.strip("/") or DEFAULT_PREFIX
        return cls(hosts, None, int(first), prefix, tls=scheme == "rediss")


def _host(scheme: str, text: str, port: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or port) < 2**16:
        raise ConfigError(f"{scheme}: {text!r} is not a host and port")
    return match["name"].strip("[]"), int(match["port"] or port)
