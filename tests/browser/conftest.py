"""A JupyterLab for each test, and a browser that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import chromium
from .lab import Lab, browsing, running

OPTIONS: tuple[str, ...] = ()
"""What a module may give to its JupyterLab."""


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    options = getattr(request.module, "OPTIONS", OPTIONS)
    with running(folder, tmp_path / "lab.log", *options) as port, browsing(chromium()) as page:
        lab = Lab(folder, port, page)
        lab.show()
        yield lab
