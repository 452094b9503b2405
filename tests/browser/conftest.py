"""A JupyterLab for each test, and a browser that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import chromium
from .lab import Lab, browsing, running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    with running(folder, tmp_path / "lab.log") as port, browsing(chromium()) as page:
        lab = Lab(folder, port, page)
        lab.show()
        yield lab
