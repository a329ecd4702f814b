"""What several test modules need."""

from __future__ import annotations

import json
import multiprocessing
import os
import pty
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from statekeep.events import Event, OperationFinished
from statekeep.store.keys import SEGMENTS
from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from multiprocessing.context import ForkServerContext

    from statekeep import StateStore

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"

each_server_and_client_once = pytest.mark.parametrize(
    ("s3_endpoint", "s3_client"), [("moto", "s3fs"), ("seaweedfs", "obstore")], indirect=True
)
"""Instead of the four combinations: for tests that take long."""


RACED_IN_FULL = {"local", "sqlite", "postgres", "valkey", "redis", "seaweedfs+obstore"}
"""Where races are the real thing: moto's server does one request at a time, and renaming takes the
same locks."""

_PRELOADED = [
    "workload",
    "statekeep.testing.processes",
    "statekeep_backends.local",
    "statekeep_backends.memory",
    "statekeep_backends.postgres.store",
    "statekeep_backends.s3.store",
    "statekeep_backends.sqlite",
]

texts = st.text(st.characters(exclude_categories=["Cs"]))
"""Any text that can be stored."""

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
"""Any value that can be stored."""


def prepared(*modules: str) -> ForkServerContext:
    """Starts processes that have imported these modules, which else takes longer than the rest."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED, *modules])
    with pytest.MonkeyPatch.context() as patch:
        # Python 3.11 does not tell it where to look.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()
    return context


def at_once(function: Callable[..., object], calls: list[tuple[Any, ...]], *modules: str) -> None:
    """Call a function in processes of their own, which have imported these modules."""
    with ProcessPoolExecutor(len(calls), mp_context=prepared(*modules)) as pool:
        for future in [pool.submit(function, *call) for call in calls]:
            future.result()


def golden_lines(name: str) -> list[dict[str, Any]]:
    """The lines of a golden file; some hold U+2028, so only line feeds end one."""
    text = (GOLDEN / name).read_bytes().decode()
    return [json.loads(line) for line in text.split("\n") if line]


def facts(events: Iterable[Event]) -> list[Event]:
    """What happened, without the events that measure operations."""
    return [event for event in events if not isinstance(event, OperationFinished)]


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder that are not statekeep's own, with their content."""
    found = {}
    # Neither rglob nor os.walk, which recurse: some trees here are deeper than Python does.
    folders = [folder] if folder.exists() else []
    while folders:
        for path in folders.pop().iterdir():
            name = str(path.relative_to(folder))
            if path.is_dir():
                folders.append(path)
            elif not name.startswith(".statekeep/"):
                found[name] = path.read_bytes()
    return found


def at_terminal(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a person sees at a terminal who runs a command that ends well."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other end is gone
                break
            if not chunk:
                break
            said += chunk
        os.close(ours)
    assert process.returncode == 0, said
    return said.decode()


def store_with_vector(key: str, head: bytes) -> StateStore:
    """A store in which the head of a journal lies, and the segments of all test vectors."""
    store = MemoryStore()
    store.put(key, head)
    segments = DATA / "journals" / "segments"
    for file in segments.rglob("*.jsonl"):
        store.put(f"{SEGMENTS}/{file.relative_to(segments)}", file.read_bytes())
    return store
