"""Every backend against the one contract."""

from __future__ import annotations

import os
import secrets
import signal
from typing import TYPE_CHECKING

import pytest
from contract.store_contract import StateStoreContract
from support import each_server_and_client_once

from statekeep_backends.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from statekeep import StateStore


class TestMemory(StateStoreContract):
    @pytest.fixture
    def location(self) -> str:
        return f"memory:{secrets.token_hex(8)}"


class TestLocalDisk(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return str(tmp_path / "not" / "there" / "yet")


class TestLocalDiskWithoutFsync(StateStoreContract):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"file:{tmp_path / 'store'}?durability=rename"


class TestS3(StateStoreContract):
    """On moto's server and on SeaweedFS, through s3fs and through obstore."""

    @pytest.fixture
    def location(self, s3_place: str, s3_endpoint: str, s3_client: str) -> str:
        return f"{s3_place}?endpoint_url={s3_endpoint}&client={s3_client}"

    @pytest.mark.slow
    @each_server_and_client_once
    def test_of_racing_swaps_none_is_lost_among_processes(
        self, store: StateStore, location: str
    ) -> None:
        super().test_of_racing_swaps_none_is_lost_among_processes(store, location)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_memory_is_usable_in_a_child_forked_while_a_thread_writes() -> None:
    store = MemoryStore()
    with store._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(5)
            store.put("a.md", b"x")
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
