"""Measures this package beside stock Jupyter on the same machine: ``make bench``.

Each measure runs in fresh worker processes, which take a value of ours and one of stock's in turn.
pyperf supplies clock, statistics, description of the machine and the format of ``--json``, which
``python -m pyperf show`` and ``compare_to`` read. The exit status is 1 if a bound is broken, 2 if a
measure failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import browser
import container
import ledger
import measures
import pyperf  # type: ignore[import-untyped]
from measures import Measure, Pair
from report import broken, machine, table

MEASURES = (*measures.MEASURES, *ledger.MEASURES, *container.MEASURES, *browser.MEASURES)
BOUND_BROKEN, FAILED = 1, 2
WORKER_LIMIT = 300  # seconds
FAST = 10  # times fewer values, from one worker
PRIVATE = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


def main() -> int:
    """Measure, print the table, and return the exit status."""
    options = _options()
    chosen = [m for m in MEASURES if m.name in options.only]
    if options.worker:
        [measure] = chosen
        asyncio.run(work(measure, options.values)).dump(sys.stdout)
        return 0
    if (why := container.why_not()) and {*chosen} & {*container.MEASURES}:
        print(f"Containers are left out: {why}", file=sys.stderr)
        chosen = [measure for measure in chosen if measure not in container.MEASURES]
    if browser.chromium() is None and {*chosen} & {*browser.MEASURES}:
        print("What a browser sees is left out: there is no Chromium", file=sys.stderr)
        chosen = [measure for measure in chosen if measure not in browser.MEASURES]
    try:
        suite = measure_all(chosen, fast=options.fast)
    except subprocess.SubprocessError as error:
        print(f"No results, see above: {error}", file=sys.stderr)
        return FAILED
    print(f"{table(chosen, suite)}\n\n{machine(suite)}")
    if options.json is not None:
        suite.dump(str(options.json), replace=True)
    over = broken(chosen, suite)
    if over:
        print(f"\nBounds broken: {', '.join(over)}")
    return BOUND_BROKEN if over else 0


def _options() -> argparse.Namespace:
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="a quick look: few values, little precision")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values for pyperf")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=" ".join(names)
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--values", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_all(chosen: list[Measure], *, fast: bool) -> pyperf.BenchmarkSuite:
    """Run each measure's workers, in rounds, so that none is taken at one moment only."""
    found: pyperf.BenchmarkSuite | None = None
    with tempfile.TemporaryDirectory(prefix="pcm-bench-") as folder:
        environment = _environment(Path(folder))
        for turn in range(1 if fast else max(measure.workers for measure in chosen)):
            for measure in chosen:
                if turn < measure.workers:
                    values = measure.values // FAST if fast else measure.values
                    suite = _run_worker(measure, max(1, values), environment)
                    if found is None:
                        found = suite
                    else:
                        found.add_runs(suite)
    assert found is not None
    return found


def _environment(folder: Path) -> dict[str, str]:
    """Return the workers' environment: nobody's settings, and bytecode kept, for both sides."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for name in PRIVATE:
        (folder / name).mkdir(mode=0o700)
        environment[name] = str(folder / name)
    return environment


def _run_worker(measure: Measure, values: int, environment: dict[str, str]) -> pyperf.BenchmarkSuite:
    print(f"{measure.name} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--worker", "--values", str(values), "--only", measure.name]
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=WORKER_LIMIT
    )
    return pyperf.BenchmarkSuite.loads(done.stdout)


async def work(measure: Measure, values: int) -> pyperf.BenchmarkSuite:
    """Take values of both sides in turn, after some of each to warm up."""
    async with measure.pair() as pair:
        warmups = await _take(pair, max(1, values // 10))
        taken = await _take(pair, values)
    runs = [
        pyperf.Run(
            own,
            warmups=[(1, first) for first in before],
            metadata={"name": f"{measure.name}: {side}", "unit": measure.unit},
        )
        for side, own, before in zip(("ours", "stock"), taken, warmups, strict=True)
    ]
    return pyperf.BenchmarkSuite([pyperf.Benchmark([run]) for run in runs])


async def _take(pair: Pair, number: int) -> tuple[list[float], list[float]]:
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(number):
        # Each side goes first as often as the other.
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            taken[side].append(await pair[side]())
    return taken


if __name__ == "__main__":
    sys.exit(main())
