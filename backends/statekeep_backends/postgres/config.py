"""The options of a PostgreSQL store, and its URL."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, SecretStr

from statekeep.store import MAX_DOCUMENT_BYTES

__all__ = ["LARGEST", "PostgresConfig", "conninfo", "describe"]

LARGEST: Final = 256 * 2**20
"""Maximum size of a document, in bytes. PostgreSQL limits a row to 1 GiB, and a server needs
several times the size of what it is sent."""

_NAME: Final = r"^[a-z_][a-z0-9_]{0,39}$"
_OF_LIBPQ: Final = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "host",
    "passfile",
    "service",
    "sslcert",
    "sslcrl",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)
_ALIVE: Final = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


class PostgresConfig(BaseModel):
    """Options of a database. Those without a description are libpq's, with the same meaning.

    A password comes from ``PGPASSWORD``, ``~/.pgpass``, a service file, or the settings.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    store: str = Field(default="statekeep", pattern=_NAME)
    """The name of this store among those in the same schema: its tables start with it."""

    schema_: str | None = Field(default=None, alias="schema", pattern=_NAME)
    """The schema of its tables; by default the first one in the ``search_path``."""

    password: SecretStr | None = None
    """Only in settings; a URL with a password is refused."""

    timeout: PositiveFloat = 30.0
    """Seconds to wait for the answer to a statement, or for a free connection."""

    max_connections: PositiveInt = 16
    """Maximum number of connections that this store opens at once."""

    max_document_bytes: PositiveInt = Field(default=MAX_DOCUMENT_BYTES, le=LARGEST)
    """Maximum size of a document; a larger one is not written, and reading it is an error."""

    connect_timeout: PositiveInt = 10
    """Seconds to wait for a new connection."""

    application_name: str = "statekeep"
    channel_binding: Literal["disable", "prefer", "require"] | None = None
    gssencmode: Literal["disable", "prefer", "require"] | None = None
    host: str | None = None
    """Use this for the folder of a socket: ``postgresql:///agents?host=/run/postgresql``."""
    passfile: str | None = None
    service: str | None = None
    sslcert: str | None = None
    sslcrl: str | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = (
        None
    )
    sslrootcert: str | None = None
    target_session_attrs: (
        Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] | None
    ) = None


def conninfo(location: str, config: PostgresConfig) -> tuple[str, dict[str, str]]:
    """Return what libpq takes: a URL, and options that override it."""
    options = {name: str(given) for name in _OF_LIBPQ if (given := getattr(config, name))}
    if config.password is not None:
        options["password"] = config.password.get_secret_value()
    return f"postgresql:{_quoted(location)}", _ALIVE | options


def describe(location: str, config: PostgresConfig) -> str:
    """Return the URL of a store in a form that can be printed."""
    own = {
        "schema": config.schema_,
        "store": config.store if "store" in config.model_fields_set else None,
    }
    options = {name: value for name, value in own.items() if value is not None}
    query = f"?{urlencode(options)}" if options else ""
    return f"postgresql:{_quoted(location)}{query}"


def _quoted(location: str) -> str:
    """Encode a decoded location as part of a URL again."""
    start, slashes, rest = location.partition("//")
    if not slashes or start:
        return "//" if not location else quote(location)
    machine, slash, database = rest.partition("/")
    user, at, hosts = machine.rpartition("@")
    who, where = quote(user, safe=""), quote(hosts, safe=":,[]")
    return f"//{who}{at}{where}{slash}{quote(database, safe='')}"
