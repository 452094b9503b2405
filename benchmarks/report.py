"""The table of results: medians of both sides, their ratio, and whether it keeps its bound."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import pyperf  # type: ignore[import-untyped]
    from measures import Measure

PACKAGES = ("py_code_mode_jupyter", "ipykernel", "ipython", "jupyter_client", "pyzmq", "uv", "pyperf")
COLUMNS = ("", "ours", "stock", "ratio", "bound", "", "compared with")
Row = tuple[str, str, str, str, str, str, str]


def machine(suite: pyperf.BenchmarkSuite) -> str:
    """Describe what was measured on; pyperf notes the model of the processor in each run."""
    about = suite.get_benchmarks()[0].get_metadata()
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    processor = about.get("cpu_model_name", platform.processor() or platform.machine())
    system = f"{platform.system()} {platform.machine()}"
    return (
        f"{processor}, {psutil.cpu_count()} cores, {memory:.0f} GB, {system}\n"
        f"{platform.python_implementation()} {platform.python_version()}; {versions}"
    )


def ratio(measure: Measure, suite: pyperf.BenchmarkSuite) -> float:
    """Return the ratio of the medians."""
    ours, stock = sides(measure, suite)
    return float(ours.median() / stock.median())


def sides(measure: Measure, suite: pyperf.BenchmarkSuite) -> tuple[pyperf.Benchmark, pyperf.Benchmark]:
    """Return the benchmarks of a measure."""
    return suite.get_benchmark(f"{measure.name}: ours"), suite.get_benchmark(f"{measure.name}: stock")


def broken(measures: list[Measure], suite: pyperf.BenchmarkSuite) -> list[str]:
    """Return the names of the measures whose bound, or limit, does not hold."""
    return [measure.name for measure in measures if not _holds(measure, suite)]


def _holds(measure: Measure, suite: pyperf.BenchmarkSuite) -> bool:
    within = measure.limit is None or sides(measure, suite)[0].median() <= measure.limit
    return within and (measure.bound is None or ratio(measure, suite) <= measure.bound)


def table(measures: list[Measure], suite: pyperf.BenchmarkSuite) -> str:
    """Return the table as text."""
    rows = [COLUMNS, *(_row(measure, suite) for measure in measures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _row(measure: Measure, suite: pyperf.BenchmarkSuite) -> Row:
    ours, stock = sides(measure, suite)
    found = ratio(measure, suite)
    bound = "" if measure.bound is None else f"{measure.bound:.2f}"
    if measure.limit is not None:
        bound = ours.format_value(measure.limit)
    verdict = "" if not bound else "ok" if _holds(measure, suite) else "over"
    return measure.ours, _median(ours), _median(stock), f"{found:.2f}", bound, verdict, measure.stock


def _median(benchmark: pyperf.Benchmark) -> str:
    value: str = benchmark.format_value(benchmark.median())
    return value


def _line(row: Row, widths: list[int]) -> str:
    cells = [
        cell.ljust(width) if i in (0, 5, 6) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
