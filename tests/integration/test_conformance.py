"""``statekeep conformance``: the contract against a live store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import boto3
import pytest

from statekeep import ConfigError, open_store
from statekeep.testing.conformance import check_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from statekeep.testing.conformance import Conformance

pytestmark = pytest.mark.rest

COMMAND = [sys.executable, "-m", "statekeep.cli", "conformance"]


def conformance(*arguments: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr
    return ended


def broken(found: Conformance) -> list[str]:
    return [each.promise for each in found.outcomes if each.verdict == "broken"]


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.usefixtures("empty_folder")
def test_a_sound_store_is_said_to_keep_its_promises() -> None:
    ended = conformance("memory:")
    assert ended.returncode == 0
    assert "It claims: conditional_put, conditional_delete\n" in ended.stdout
    holds, _, rest = ended.stdout.partition("Not claimed: shared:")
    assert "  a prefix matches whole segments\n" in holds
    assert "  it behaves like a dict\n" in holds
    assert "  documents are shared among processes\n" in rest
    assert "What it breaks" not in rest
    assert "It keeps all " in rest


@pytest.mark.rest
def test_a_promise_that_is_broken_is_named_with_the_reason(empty_folder: Path) -> None:
    ended = conformance(f"fsspec+file://{empty_folder}")
    assert ended.returncode == 1
    _, _, what = ended.stdout.partition("What it breaks:\n")
    assert what.startswith(
        "  a reader sees the old bytes or the new ones\n    a read returned half a write"
    )
    assert "It breaks 1 of " in what
    assert everything_in(empty_folder) == set()


def test_machines_get_json_and_what_is_there_stays_as_it_is(empty_folder: Path) -> None:
    with open_store("state", durability="rename") as store:
        store.put("sessions/s.json", b"{}")
        store.put("sessions/s.json", b"[]")
    before = everything_in(empty_folder)
    ended = conformance("file:state?durability=rename", "--json")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert found["store"] == str(empty_folder / "state")
    assert found["claims"] == {
        "conditional_put": True,
        "conditional_delete": True,
        "shared": True,
        "remote": False,
    }
    assert {each["verdict"] for each in found["outcomes"]} == {"holds", "not claimed", "not tested"}
    assert everything_in(empty_folder) == before
    with open_store("state") as store:
        assert [entry.key for entry in store.scan()] == ["sessions/s.json"]


@pytest.mark.rest
def test_a_bucket_is_left_as_it_was_when_interrupted(
    seaweedfs_url: str, make_s3_place: Callable[[str], str]
) -> None:
    place = make_s3_place(seaweedfs_url)
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    url = f"{place}?endpoint_url={seaweedfs_url}"
    with open_store(url) as store:
        store.put("notes/plan.md", b"x")
    client = boto3.client("s3", endpoint_url=seaweedfs_url)

    def objects() -> list[str]:
        listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        return [each["Key"].removeprefix(f"{prefix}/") for each in listed]

    def interrupt_the_third(done: int, total: int) -> None:
        assert total > 40
        if done == 3:
            assert any(key.startswith("statekeep-conformance-") for key in objects())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_store(url, progress=interrupt_the_third)
    assert objects() == ["notes/plan.md"]
    client.close()


def test_a_place_can_be_used_itself_if_it_is_empty() -> None:
    url = "memory:test-in-place"
    found = check_store(url, in_place=True)
    assert found.store == url
    assert broken(found) == []
    with open_store(url) as store:
        assert list(store.scan()) == []
        store.put("precious.md", b"x")
        with pytest.raises(ConfigError, match=r"not empty.*precious\.md"):
            check_store(url, in_place=True)
        assert store.get("precious.md")


@pytest.mark.usefixtures("empty_folder")
def test_a_store_that_cannot_be_used_is_no_broken_store() -> None:
    ended = conformance("s3://bucket/x?endpoint_url=http://127.0.0.1:1&retries=0")
    assert ended.returncode == 5
    assert "127.0.0.1:1" in ended.stderr
    assert ended.stdout == ""
    assert conformance("nonsense://x").returncode == 2


@pytest.fixture
def _ctrl_c_works() -> Iterator[None]:
    """Even where tests run in the background of a shell, which has their children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_works")
def test_after_ctrl_c_nothing_is_left(empty_folder: Path) -> None:
    place = empty_folder / "deep" / "state"
    process = subprocess.Popen([*COMMAND, str(place)], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(place.glob("statekeep-conformance-*/*/notes")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == ""
    assert everything_in(empty_folder) == set()


@pytest.mark.parametrize("missing", ["pytest", "hypothesis"])
def test_without_the_extra_it_is_named(missing: str, empty_folder: Path) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "sys.argv = ['statekeep', 'conformance', 'memory:']\n"
        "from statekeep.cli import main\n"
        "main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "pip install 'statekeep[cli,testing]'" in ended.stderr
    assert everything_in(empty_folder) == set()
