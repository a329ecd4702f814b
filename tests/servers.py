"""Real servers that speak S3's protocol, on free ports of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

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
