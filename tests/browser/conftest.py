"""A JupyterLab for each module of tests, and a browser that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from .lab import Lab, sharing

OPTIONS: tuple[str, ...] = ()
ENVIRON: Mapping[str, str] = {}
"""What a module may give to its JupyterLab."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """One JupyterLab and page for all tests of a module, each with notebooks of its own."""
    options = getattr(request.module, "OPTIONS", OPTIONS)
    environ = getattr(request.module, "ENVIRON", ENVIRON)
    with sharing(tmp_path_factory.mktemp("lab"), *options, **environ) as lab:
        yield lab
