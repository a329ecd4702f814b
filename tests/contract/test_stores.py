"""Every backend against the one contract."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from contract.store_contract import StateStoreContract

if TYPE_CHECKING:
    from pathlib import Path


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
