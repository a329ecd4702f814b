"""Read and write files of lines, plain or compressed with zstd, raising statekeep's errors."""

from __future__ import annotations

import errno
import io
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, cast

from statekeep.errors import (
    AccessDeniedError,
    ConfigError,
    ConflictError,
    CorruptDataError,
    NotFoundError,
    StateStoreError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_LINE", "File", "Lines", "name_of", "reading", "writing"]

File: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""A path, or an open binary file."""

MAX_LINE: Final = 2**30
"""The most bytes that a line may have to be read."""

_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BUFFER: Final = 2**20


def name_of(file: File) -> str:
    """The name of a file, for messages."""
    if isinstance(file, str | os.PathLike):
        return os.fspath(file)
    return str(getattr(file, "name", "a stream"))


@contextmanager
def writing(file: File, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Write a file completely, or not at all; with zstd if its name ends with ``.zst``.

    Args:
        file: A path, or an open file, which is not compressed and stays open.
        overwrite: Replace an existing file.

    Raises:
        ConflictError: The file exists.
        ConfigError: zstd is not installed, or the path has no file name.
        UnavailableError, AccessDeniedError, NotFoundError: A path cannot be written.
    """
    if not isinstance(file, str | os.PathLike):
        yield file  # its errors are for its owner to handle
        file.flush()
        return
    path = Path(file)
    if not path.name:
        raise ConfigError(f"{name_of(file)!r} is not a file name")
    with _told(path):
        _refuse_existing(path, overwrite=overwrite)
        zstd = _zstandard() if path.suffix == ".zst" else None
        # A unique name, because another process may be writing the same file.
        part = path.with_name(f"{path.name}.{token_hex(4)}.part")
        plain = part.open("xb")
        try:
            with plain:
                if zstd is None:
                    yield plain
                else:
                    compressor = zstd.ZstdCompressor(write_checksum=True)
                    with compressor.stream_writer(plain, closefd=False) as writer:
                        yield cast("IO[bytes]", writer)
                plain.flush()
                os.fsync(plain.fileno())
            _refuse_existing(path, overwrite=overwrite)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if not overwrite and path.exists():
        raise ConflictError(
            "the file already exists; nothing was written; --overwrite (in Python, "
            "overwrite=True) replaces it",
            store=path,
        )


class Lines:
    """The lines of a file, one in memory at a time.

    Args:
        stream: The bytes.
        broken: The exceptions that the stream raises if they are damaged.
    """

    def __init__(self, stream: IO[bytes], broken: tuple[type[Exception], ...]) -> None:
        self._stream = stream
        self._broken = broken

    def __iter__(self) -> Iterator[bytes | CorruptDataError]:
        """Yield each line with its line end, or the error why it cannot be read."""
        try:
            while line := self._stream.readline(MAX_LINE):
                if len(line) < MAX_LINE or line.endswith(b"\n"):
                    yield line
                    continue
                yield CorruptDataError(f"it has more than {MAX_LINE} bytes")
                while (rest := self._stream.readline(_BUFFER)) and not rest.endswith(b"\n"):
                    pass
        except self._broken as error:
            yield CorruptDataError(f"the file is damaged from here on: {error}")


@contextmanager
def reading(file: File) -> Iterator[Lines]:
    """Read the lines of a file, plain or compressed with zstd, which is detected.

    Args:
        file: A path, or an open file, which stays open.

    Raises:
        ConfigError: The file is compressed, and zstd is not installed.
        NotFoundError, UnavailableError, AccessDeniedError: The file cannot be read.
    """
    if not isinstance(file, str | os.PathLike):
        with _told(file), _lines(file) as lines:
            yield lines
        return
    path = Path(file)
    with _told(path), path.open("rb") as plain, _lines(plain) as lines:
        yield lines


@contextmanager
def _lines(raw: IO[bytes]) -> Iterator[Lines]:
    begun = raw.read(len(_ZSTD))
    joined = cast("IO[bytes]", io.BufferedReader(_Joined(begun, raw), _BUFFER))
    if begun != _ZSTD:
        yield Lines(joined, ())
        return
    zstd = _zstandard()
    reader = zstd.ZstdDecompressor().stream_reader(joined, read_across_frames=True, closefd=False)
    yield Lines(cast("IO[bytes]", io.BufferedReader(reader, _BUFFER)), (zstd.ZstdError,))


class _Joined(io.RawIOBase):
    """The bytes already read, followed by the rest of a file; closing it leaves the file open."""

    def __init__(self, begun: bytes, rest: IO[bytes]) -> None:
        self._begun = begun
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever has a buffer
        found = self._begun[: len(buffer)] or self._rest.read(len(buffer))
        self._begun = self._begun[len(buffer) :]
        buffer[: len(found)] = found
        return len(found)


def _zstandard() -> Any:  # noqa: ANN401 - a module that may be missing
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigError(
            "zstd is not installed: pip install 'statekeep[export]', or use a file name that ends "
            "with .jsonl, which is not compressed"
        ) from None
    return zstandard


@contextmanager
def _told(file: File) -> Iterator[None]:
    """Translate the `OSError` of a file into statekeep's errors; let a store's errors pass."""
    try:
        yield
    except StateStoreError:
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        kinds: dict[int | None, type[StateStoreError]] = {
            errno.ENOENT: NotFoundError,
            errno.EACCES: AccessDeniedError,
            errno.EPERM: AccessDeniedError,
            errno.EROFS: AccessDeniedError,
        }
        kind = kinds.get(error.errno, UnavailableError)
        said = error.strerror or str(error)
        raise kind(f"the file cannot be used: {said}", store=name_of(file)) from error
