"""A storage folder for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from py_code_mode_jupyter.storage import FileStorage


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def storage(base: Path) -> FileStorage:
    return FileStorage(base)
