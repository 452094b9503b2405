"""The harness of ``make bench`` works; what it measures is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pyperf = pytest.importorskip("pyperf", reason="make bench installs it")
HARNESS = Path(__file__).parents[2] / "benchmarks" / "run.py"
OK, BOUND_BROKEN = 0, 1
BOUNDED = {"venv-start": 1.5, "venv-run": 1.3, "in-process-run": 1.5}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HARNESS), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_a_quick_look_prints_every_bound_and_keeps_the_values_for_pyperf(tmp_path: Path) -> None:
    done = run("--fast", "--json", str(tmp_path / "values.json"), "--only", *BOUNDED, "import")
    assert done.returncode in (OK, BOUND_BROKEN), done.stderr
    assert "Traceback" not in done.stderr
    header, *rows = done.stdout.split("\n\n")[0].splitlines()
    assert header.split() == ["ours", "stock", "ratio", "bound", "compared", "with"]
    assert len(rows) == len(BOUNDED) + 1
    for row, bound in zip(rows, BOUNDED.values(), strict=False):
        assert f"{bound:.2f}  ok" in row or f"{bound:.2f}  over" in row
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "values.json"))
    names = {f"{name}: {side}" for name in (*BOUNDED, "import") for side in ("ours", "stock")}
    assert set(suite.get_benchmark_names()) == names


def test_an_unknown_measure_is_answered_with_the_known_ones() -> None:
    done = run("--only", "speed")
    assert done.returncode not in (OK, BOUND_BROKEN)
    assert "'venv-start'" in done.stderr
