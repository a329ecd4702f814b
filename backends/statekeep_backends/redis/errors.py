"""Translates errors of a server, and of the way to it, to statekeep's errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from statekeep.errors import Landed

__all__ = ["ANSWERS", "FAILURES", "LostAnswerError", "translated"]


class LostAnswerError(Exception):
    """A call was sent, and no answer came; the exception's cause says why."""


ANSWERS = (ResponseError, AuthenticationError, AuthorizationError, BusyLoadingError)
"""What redis-py raises for an answer of the server, even if some are ConnectionErrors."""

FAILURES = (RedisError, RedisClusterException, LostAnswerError, OSError, UnicodeError)
"""What the client raises."""

_SIGN_IN: Final = (
    "check the options username and password, the variable REDISCLI_AUTH, and the user's rights"
)
_IN_TRANSIT: Final = "the slot of this store is moving to another node; retry later"

# By the first word of the server's answer.
_MEANING: Final[dict[str, tuple[type[StateStoreError], str]]] = {
    "ASK": (UnavailableError, _IN_TRANSIT),
    "BUSY": (UnavailableError, "a script has been running for too long; retry later"),
    "CLUSTERDOWN": (UnavailableError, "the cluster is down; retry later"),
    "LOADING": (UnavailableError, "it was just started and is loading its data; retry later"),
    "MASTERDOWN": (UnavailableError, "its primary is down; retry later"),
    "MISCONF": (UnavailableError, "it cannot persist, and accepts no writes; see its log"),
    "MOVED": (UnavailableError, "it is part of a cluster; set the option cluster"),
    "NOREPLICAS": (UnavailableError, "too few replicas are connected; retry later"),
    "OOM": (UnavailableError, "the server is full; free some memory or raise its maxmemory"),
    "READONLY": (
        UnavailableError,
        "it is a replica, which accepts no writes; name the primary, or see the option sentinel",
    ),
    "TRYAGAIN": (UnavailableError, _IN_TRANSIT),
    "NOAUTH": (AccessDeniedError, _SIGN_IN),
    "NOPERM": (AccessDeniedError, _SIGN_IN),
    "WRONGPASS": (AccessDeniedError, _SIGN_IN),
    "WRONGTYPE": (
        CorruptDataError,
        "another program has keys under this store's prefix; choose another prefix",
    ),
}
# redis-py removes the word if it has a class for it.
_WORDS: Final[dict[type[Exception], str]] = {
    MovedError: "MOVED",
    AskError: "ASK",
    MasterDownError: "MASTERDOWN",
    ClusterDownError: "CLUSTERDOWN",
    TryAgainError: "TRYAGAIN",
    BusyLoadingError: "LOADING",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    NoPermissionError: "NOPERM",
    AuthenticationError: "NOAUTH",
    AuthorizationError: "NOAUTH",
}
_WORD = re.compile(rf"\b({'|'.join(_MEANING)})\b")
_FORMAT = re.compile(r"STATEKEEP (\S+)")
# Refused for a whole script, before its first write.
_BEFORE_ALL: Final = _MEANING.keys() - {"NOPERM", "WRONGTYPE"}


def translated(
    error: Exception, *, key: str | None, store: object, writes: bool = False
) -> StateStoreError:
    """Return the error that says what failed.

    Args:
        error: One of `FAILURES`.
        key: The key that was read or written; None for more than one document.
        store: The store.
        writes: Whether something may have landed.
    """
    kind, said, certain = _meaning(error)
    landed: Landed | None = None
    if writes:
        landed = "no" if certain else "unknown"
    return kind(said, key=key, store=store, landed=landed)


def _meaning(error: Exception) -> tuple[type[StateStoreError], str, bool]:
    """Return the error's class, its message, and whether certainly nothing was written."""
    if isinstance(error, LostAnswerError):
        return UnavailableError, f"no answer ({error.__cause__}); retry later", False
    said = str(error)
    if not isinstance(error, ANSWERS):
        return *_of_the_way(said), True
    if found := _FORMAT.search(said):
        return *_of_the_format(found[1]), True
    word = next((word for kind, word in _WORDS.items() if isinstance(error, kind)), None)
    if word is None and (match := _WORD.search(said)):
        word = match[1]
    if word is not None:
        kind, advice = _MEANING[word]
        in_a_script = "script" in said
        return (
            kind,
            f"the server refuses ({said}); {advice}",
            word in _BEFORE_ALL or not in_a_script,
        )
    if "DB index" in said:
        return ConfigError, f"the server has no such database ({said})", True
    if "unknown command" in said:
        return UnsupportedError, f"the server lacks a required command ({said})", False
    if "ACL failure" in said or "run this command" in said:  # in a script
        return AccessDeniedError, f"the server refuses ({said}); {_SIGN_IN}", False
    return UnavailableError, f"the server failed ({said}); retry later", False


def _of_the_way(said: str) -> tuple[type[StateStoreError], str]:
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return ConfigError, f"its certificate is not trusted ({said}); see the option ssl_ca_certs"
    return UnavailableError, f"it cannot be reached ({said}); retry later"


def _of_the_format(found: str) -> tuple[type[StateStoreError], str]:
    if found.isdecimal():
        return UnsupportedError, (
            f"what is stored there has the format {found} of a newer statekeep; upgrade to open it"
        )
    return CorruptDataError, (
        "another program has a key under this store's prefix; choose another prefix"
    )
