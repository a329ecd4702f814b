"""Any filesystem that fsspec can reach. Needs the extra ``fsspec`` and the filesystem's driver.

Such filesystems have no conditional writes, so this store refuses them; `Sessions` works on it with
last-writer-wins. A write is as atomic as the filesystem's own.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from statekeep._green import replaced_by
from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    CorruptDataError,
    PluginNotFoundError,
    StateStoreError,
    UnavailableError,
    UnsupportedError,
)
from statekeep.plugins import BackendSpec, hookimpl, is_allowed
from statekeep.store import (
    ANY,
    Blob,
    Capabilities,
    Entry,
    Expect,
    ExpectSeen,
    StateStore,
    Version,
    check_expectation,
    check_key,
    check_prefix,
    content_version,
    is_key,
)
from statekeep.store.arguments import plain_text
from statekeep.timestamps import to_nanoseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fsspec import AbstractFileSystem

    from statekeep.store import StoreURL

__all__ = ["FilesystemConfig", "FilesystemStore"]

Landed = Literal["no", "unknown"]

_MARKS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "ino")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class FilesystemConfig(BaseModel):
    """Options of a filesystem."""

    model_config = ConfigDict(extra="forbid")

    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """Options of the filesystem's driver; see its documentation."""


class FilesystemStore(StateStore):
    """A store on a filesystem that fsspec can reach.

    It opens nothing before the first operation, and can be used after a fork.

    Args:
        url: fsspec's URL of the folder.
        storage_options: Options of the driver.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._url = plain_text("url", url).rstrip("/")
        self._options = dict(storage_options or {})
        self._lock = threading.Lock()
        self._opened: tuple[AbstractFileSystem, str] | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return self._url

    @property
    def capabilities(self) -> Capabilities:
        """No conditions; fsspec's ``memory:`` is private to each process."""
        scheme = self._url.partition(":")[0]
        return Capabilities(
            conditional_put=False,
            conditional_delete=False,
            shared=scheme != "memory",
            remote=scheme not in {"file", "local", "memory"},
        )

    def get(self, key: str) -> Blob | None:
        """See `StateStore.get`."""
        check_key(key)
        filesystem, base = self._open(key)
        try:
            data = bytes(filesystem.cat_file(f"{base}/{key}"))
        except (FileNotFoundError, IsADirectoryError):
            return None
        except NotADirectoryError:
            self._refuse_base_in_a_file(filesystem, base, key)
            return None
        except Exception as error:  # noqa: BLE001 - drivers raise anything
            self._fail(error, key)
        # Without a time: reading it would be a second look, perhaps at another state.
        return Blob(data, content_version(data), None)

    def put(self, key: str, data: bytes, *, expect: Expect = ANY) -> Version:
        """See `StateStore.put`."""
        check_key(key)
        self._refuse_conditions(expect, key)
        filesystem, base = self._open(key, landed="no")
        path = f"{base}/{key}"
        try:
            try:
                filesystem.pipe_file(path, data)
            except FileNotFoundError:
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                filesystem.pipe_file(path, data)
        except Exception as error:  # noqa: BLE001
            self._fail(error, key, "unknown")
        return content_version(data)

    def delete(self, key: str, *, expect: ExpectSeen = ANY) -> None:
        """See `StateStore.delete`."""
        check_key(key)
        self._refuse_conditions(expect, key)
        filesystem, base = self._open(key, landed="no")
        path = f"{base}/{key}"
        landed: Landed = "no"
        try:
            if filesystem.isfile(path):  # some drivers delete a whole folder with that name
                landed = "unknown"
                filesystem.rm_file(path)
            elif not filesystem.exists(base):
                self._refuse_base_in_a_file(filesystem, base, key)
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001
            self._fail(error, key, landed)

    def scan(self, prefix: str = "") -> Iterator[Entry]:
        """See `StateStore.scan`."""
        check_prefix(prefix)
        return self._scan(prefix)

    def close(self) -> None:
        """See `StateStore.close`. The connections belong to the driver."""
        with self._lock:
            self._opened = None

    def connect(self) -> None:
        """Set up the driver; fails at once if it is not installed or configured wrongly."""
        self._open()

    def _scan(self, prefix: str) -> Iterator[Entry]:
        filesystem, base = self._open(prefix or None)
        try:
            filesystem.invalidate_cache()
            start = f"{base}/{prefix}" if prefix else base
            found = filesystem.find(start, detail=True)
        except FileNotFoundError:
            found = {}
        except NotADirectoryError:
            self._refuse_base_in_a_file(filesystem, base, prefix or None)
            return
        except Exception as error:  # noqa: BLE001
            self._fail(error, prefix or None)
        if not found:
            self._refuse_base_in_a_file(filesystem, base, prefix or None)
        below = f"{prefix}/" if prefix else ""
        for path, info in found.items():
            key = path[len(base) + 1 :]
            if is_key(key) and key.startswith(below):
                written = to_nanoseconds(_modified(info))
                yield Entry(key, info.get("size") or 0, written, _fingerprint(info))

    def _refuse_base_in_a_file(
        self, filesystem: AbstractFileSystem, base: str, key: str | None
    ) -> None:
        """Distinguish a store that does not exist yet, and is empty, from one that cannot exist."""
        try:
            folder = base
            while folder.strip("/") and not filesystem.exists(folder):
                folder = folder.rpartition("/")[0]
            is_folder = not folder.strip("/") or filesystem.isdir(folder)
        except Exception as error:  # noqa: BLE001
            self._fail(error, key)
        if not is_folder:
            raise UnavailableError(
                f"{folder!r} is not a folder, so no store can be below it", key=key, store=self
            )

    def _refuse_conditions(self, expect: Expect, key: str) -> None:
        check_expectation(expect)
        if expect is not ANY:
            raise UnsupportedError(
                "this filesystem cannot compare and swap; use another backend, or last-writer-wins",
                key=key,
                store=self,
                landed="no",
            )

    def _open(
        self, key: str | None = None, landed: Landed | None = None
    ) -> tuple[AbstractFileSystem, str]:
        try:
            with self._lock:
                if self._opened is None or self._pid != os.getpid():
                    from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

                    options = {"skip_instance_cache": True, "use_listings_cache": False}
                    self._refuse_replaced_threads()
                    filesystem, base = url_to_fs(self._url, **options, **self._options)
                    self._opened = filesystem, base.rstrip("/")
                    self._pid = os.getpid()
                return self._opened
        except Exception as error:  # noqa: BLE001
            self._fail(error, key, landed)

    def _refuse_replaced_threads(self) -> None:
        if (library := replaced_by()) is None:
            return
        from fsspec import get_filesystem_class  # noqa: PLC0415 - an extra

        # Use the class, because creating an instance can wait for its event loop forever.
        if get_filesystem_class(self._url.partition(":")[0]).async_impl:
            raise ConfigError(
                f"{library} has replaced Python's threads or waits (monkey patching), and this "
                f"filesystem cannot work with that; use a process that {library} does not patch",
                store=self,
            )

    def _fail(self, error: Exception, key: str | None, landed: Landed | None = None) -> NoReturn:
        failed = error if isinstance(error, StateStoreError) else self._translate(error, key)
        failed.landed = landed
        raise failed from (None if failed is error else error)

    def _translate(self, error: Exception, key: str | None) -> StateStoreError:
        match error:
            case PermissionError():
                return AccessDeniedError(f"refused: {error}", key=key, store=self)
            case IsADirectoryError() | NotADirectoryError():
                return CorruptDataError(
                    "a folder or a file is in the way; move it elsewhere", key=key, store=self
                )
            case ImportError():
                return ConfigError(
                    f"the driver of this filesystem is not installed: {error}", store=self
                )
            case TypeError() | ValueError():
                return ConfigError(f"the filesystem is configured wrongly: {error}", store=self)
            case _:
                return UnavailableError(
                    f"the filesystem failed ({error!r}); retry later", key=key, store=self
                )


def _modified(info: Mapping[str, Any]) -> datetime | None:
    for name in _TIMES:
        match info.get(name):
            case datetime() as moment:
                return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
            case int() | float() as seconds:
                return datetime.fromtimestamp(seconds, UTC)
            case str() as text:
                try:
                    moment = datetime.fromisoformat(text)
                except ValueError:
                    continue
                return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    return None


def _fingerprint(info: Mapping[str, Any]) -> str | None:
    marks = [str(info[name]) for name in _MARKS if info.get(name)]
    times = [str(info[name]) for name in _TIMES if info.get(name)]
    return "-".join([*marks, *times, str(info.get("size"))]) if marks or times else None


def _is_known(scheme: str) -> bool:
    try:
        from fsspec import available_protocols  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return False
    return scheme in available_protocols()


def _refuse_forbidden(scheme: str) -> None:
    """Refuse a driver from a distribution that is not on the allow-list.

    fsspec has its own entry points, and drivers found there replace even its built-in ones.
    """
    for driver in entry_points(group="fsspec.specs", name=scheme):
        owner = "an unknown distribution" if driver.dist is None else driver.dist.name
        if not is_allowed(owner):
            raise ConfigError(
                f"{owner} offers {scheme!r} to fsspec, but is not on the allow-list "
                "STATEKEEP_PLUGINS"
            )


def _make(url: StoreURL, config: FilesystemConfig) -> FilesystemStore:
    _refuse_forbidden(url.scheme)
    if url.scheme == "fsspec":
        raise ConfigError(f"name the filesystem in the scheme: fsspec+{url.location}")
    if not _is_known(url.scheme):
        raise PluginNotFoundError(
            f"fsspec does not know {url.scheme!r}, or is not installed: "
            "pip install 'statekeep[fsspec]'"
        )
    store = FilesystemStore(f"{url.scheme}:{url.location}", config.storage_options)
    store.connect()
    return store


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    """Provide ``fsspec+X:``, and every scheme that no other backend provides."""
    summary = "any filesystem that fsspec reaches, last writer wins"
    return [BackendSpec("fsspec", summary, FilesystemConfig, _make, nests=True)]
