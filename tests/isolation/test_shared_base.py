"""What becomes of the base that environments share when somebody has touched it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from py_code_mode_jupyter.environments.venv import base as bases


@pytest.fixture
def base(tmp_path: Path) -> bases.Base:
    """A small one, complete."""
    for part in ("base/packages/library", "base/installer", "own/packages"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "module.py").write_text("x = 1\n")
    (tmp_path / "base/packages/link").symlink_to("library")
    for folder in ("base", "own"):
        bases._seal(tmp_path / folder)
    return bases.Base(tmp_path / "base/packages", tmp_path / "own/packages", tmp_path / "base/installer")


def _rewrite(file: Path, text: str) -> None:
    file.chmod(0o666)
    file.write_text(text)
    file.chmod(0o444)


def _replace(file: Path, make: Callable[[Path], object]) -> None:
    file.parent.chmod(0o777)
    file.unlink()
    make(file)


MODULE = "library/module.py"
CHANGES: dict[str, Callable[[Path], object]] = {
    "a file of the same size": lambda packages: _rewrite(packages / MODULE, "x = 2\n"),
    "a file that grew": lambda packages: _rewrite(packages / MODULE, "x = 1\n# more\n"),
    "a file without end": lambda packages: (
        (packages / MODULE).chmod(0o666) or os.truncate(packages / MODULE, 2**43)
    ),
    "a new file": lambda packages: packages.chmod(0o777) or (packages / "sitecustomize.py").write_text(""),
    "a file that is gone": lambda packages: _replace(packages / MODULE, lambda file: None),
    "a new folder": lambda packages: packages.chmod(0o777) or (packages / "namespace").mkdir(),
    "a pipe": lambda packages: _replace(packages / MODULE, os.mkfifo),
    "a link to the same text": lambda packages: _replace(
        packages / MODULE, lambda file: file.symlink_to("../../installer/module.py")
    ),
    "a link that leads elsewhere": lambda packages: _replace(
        packages / "link", lambda link: link.symlink_to("libretto")
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_one_with_another_content_is_discarded(base: bases.Base, change: Callable[[Path], object]) -> None:
    change(base.packages)
    assert bases.discard_if_changed(base)
    assert not base.packages.exists()
    assert base.own.exists()


def test_one_whose_modes_alone_were_set_is_kept_and_sealed_again(base: bases.Base) -> None:
    (base.packages / MODULE).chmod(0o666)
    base.packages.chmod(0o777)
    assert not bases.discard_if_changed(base)
    assert (base.packages / MODULE).stat().st_mode & 0o222 == 0
    assert bases._is_untouched(base.packages.parent)


def test_one_that_nobody_touched_is_not_read_again(base: bases.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(bases, "_content")
    assert not bases.discard_if_changed(base)
