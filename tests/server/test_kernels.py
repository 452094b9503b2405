"""What the server says of its kernels is what is so: place, limits, use, isolation, and why one has ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from .live import Channels, LiveServer, heard, until

MIB = 2**20
Begin = Callable[..., tuple[str, Channels]]


@pytest.fixture
def begin(live: LiveServer) -> Iterator[Begin]:
    """Start kernels, for notebooks with these settings, and end them."""
    begun: list[tuple[str, Channels]] = []

    def start(name: str, settings: Any = None, path: str = "n.ipynb") -> tuple[str, Channels]:
        write(live, settings, path)
        kernel = live.start(name, path)
        begun.append((kernel, live.channels(kernel)))
        return begun[-1]

    yield start
    for kernel, channels in begun:
        channels.close()
        live.ask("DELETE", f"/api/kernels/{kernel}")


def write(live: LiveServer, settings: Any, path: str = "n.ipynb") -> None:
    metadata = {} if settings is None else {"pcm": settings}
    notebook = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (live.root / "notebooks" / path).write_text(json.dumps(notebook))


def of(live: LiveServer, kernel: str) -> Any:
    return live.get(f"/pcm/kernels/{kernel}")


def metric(live: LiveServer, name: str) -> float:
    lines = live.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_kernel_says_where_it_runs_and_for_which_notebook(live: LiveServer, begin: Begin) -> None:
    before = metric(live, 'pcm_kernel_starts_total{place="in-process"}')
    kernel, channels = begin("pcm-in-process")
    assert channels.run("1 + 1")["status"] == "ok"
    found = of(live, kernel)
    assert (found["place"], found["name"], found["refusal"]) == ("in-process", "pcm-in-process", "")
    assert found["session"]["path"] == "n.ipynb"
    assert found["usage"]["memory"] > 10 * MIB
    assert found["usage"]["memory_limit"] is None
    assert found["connections"] == 1
    until(lambda: of(live, kernel)["isolation"], "its isolation was measured")
    isolation = of(live, kernel)["isolation"]
    assert (isolation["level"], isolation["is_verified"]) == ("none", True)
    assert isolation["facts"][0]["holds"] is False
    assert [one["id"] for one in live.get("/pcm/kernels")["kernels"]] == [kernel]
    assert metric(live, 'pcm_kernel_starts_total{place="in-process"}') == before + 1
    assert metric(live, "pcm_kernel_start_duration_seconds_count") >= before + 1


def test_a_kernel_of_somebody_else_has_no_place(live: LiveServer) -> None:
    kernel = live.start("python3")
    found = of(live, kernel)
    assert found["place"] is found["isolation"] is found["usage"] is None
    assert live.ask("POST", f"/pcm/kernels/{kernel}/probe", {}).status == 409
    live.ask("DELETE", f"/api/kernels/{kernel}")


def test_the_use_is_measured_beside_the_limit_that_holds(live: LiveServer, begin: Begin) -> None:
    kernel, channels = begin("pcm-venv", {"memory": "700m"})
    assert channels.run("kept = b'x' * 60_000_000")["status"] == "ok"
    found = until(lambda: (one := of(live, kernel))["usage"]["memory"] > 80 * MIB and one, "it is measured")
    assert found["usage"]["memory_limit"] == found["limits"]["memory"] == 700 * MIB
    assert found["usage"]["memory_peak"] >= found["usage"]["memory"]
    assert found["usage"]["cpu"] > 0
    isolation = live.ask("POST", f"/pcm/kernels/{kernel}/probe", {}).json
    assert (isolation["level"], isolation["is_verified"]) == ("process", True)
    [limit] = [fact for fact in isolation["facts"] if fact["name"] == "memory_limit"]
    assert limit["inside"] == limit["outside"] == 700 * MIB
    usage = channels.request("usage_request", {}, "control")
    assert usage["kernel_memory"] == pytest.approx(found["usage"]["memory"], rel=0.1)
    memory = usage["host_virtual_memory"]
    assert (memory["total"], memory["used"]) == (700 * MIB, usage["kernel_memory"])
    assert memory["percent"] == pytest.approx(100 * memory["used"] / memory["total"], abs=0.1)
    assert channels.run("kept = bytearray(900_000_000)")["ename"] == "MemoryError"


def test_why_a_kernel_has_ended_is_told_and_counted(live: LiveServer, begin: Begin) -> None:
    kernel, channels = begin("pcm-venv")
    channels.run("1")
    before = metric(live, 'pcm_kernel_deaths_total{kind="exit",place="venv"}')
    with live.events() as events:
        channels.begin("import os; os._exit(3)")
        died = heard(events, "kernels", "died")
    assert died["id"] == kernel
    death = died["kernel"]["death"]
    assert "status 3" in death["reason"]
    assert death["kind"] == "exit"
    assert of(live, kernel)["death"] == death
    assert metric(live, 'pcm_kernel_deaths_total{kind="exit",place="venv"}') == before + 1


# What a notebook asks for


def test_a_restart_heeds_what_the_notebook_asks_for_now(live: LiveServer, begin: Begin) -> None:
    kernel, channels = begin("pcm-venv", {"memory": "600m"})
    channels.run("1")
    write(live, {"memory": "500m", "timeout": 50})
    live.ask("POST", f"/api/kernels/{kernel}/restart", {})
    assert channels.run("1")["status"] == "ok"
    found = of(live, kernel)
    assert (found["limits"]["memory"], found["limits"]["timeout"]) == (500 * MIB, 50)
    assert found["settings"] == {"memory": 500 * MIB, "timeout": 50.0}
    live.ask("POST", f"/pcm/kernels/{kernel}/probe", {})
    facts = of(live, kernel)["isolation"]["facts"]
    assert [fact["outside"] for fact in facts if fact["name"] == "memory_limit"] == [500 * MIB]
    assert found["death"] is None  # its end was asked for


CANNOT = [
    ("pcm-in-process", {"memory": "300m"}, "cannot keep this limit"),
    ("pcm-venv", {"dependencies": ["six"]}, "may not ask for these packages"),
]
NOR = [
    ("pcm-in-process", {"network": False}, "cannot keep this limit"),
    ("pcm-in-process", {"dependencies": ["six"]}, "may not ask for these packages"),
    ("pcm-venv", {"network": False}, "cannot keep this limit"),
    ("pcm-venv", {"image": "evil"}, "may set"),
    ("pcm-venv", {"memory": "1m"}, "too little"),
    ("pcm-venv", {"timeout": "soon"}, "not a number of seconds"),
    ("pcm-venv", {"timeout": True}, "not a number of seconds"),
    ("pcm-venv", {"dependencies": ["x @ http://evil"]}, "an address"),
    ("pcm-venv", {"dependencies": "six"}, "not a list"),
    ("pcm-container", {"memory": "8g"}, "may not loosen"),
    ("pcm-container", {"container": {"runtime": "x"}}, "may set"),
    ("pcm-container", {"container": []}, "not a JSON object"),
]


@pytest.mark.parametrize(("kernel_name", "settings", "said"), [*CANNOT, *NOR])
def test_what_cannot_be_kept_is_refused(live: LiveServer, kernel_name: str, settings: Any, said: str) -> None:
    question = {"kernel_name": kernel_name, "settings": settings}
    checked = live.ask("POST", "/pcm/settings/check", question).json
    assert checked["is_valid"] is False
    assert checked["effective"] is None
    assert said in checked["problems"][0]["message"]
    assert checked["problems"][0]["remedy"]


@pytest.mark.parametrize(("kernel_name", "settings", "said"), CANNOT)
def test_a_kernel_for_which_it_cannot_be_kept_says_why(
    live: LiveServer, begin: Begin, kernel_name: str, settings: Any, said: str
) -> None:
    kernel, channels = begin(kernel_name, settings)
    assert said in channels.run("1")["evalue"]
    found = of(live, kernel)
    assert found["state"] == "explaining"
    assert said in found["refusal"]
    assert live.ask("POST", f"/pcm/kernels/{kernel}/probe", {}).status == 409


def test_what_is_tighter_is_taken(live: LiveServer) -> None:
    settings = {"memory": "256m", "network": False, "timeout": 60, "container": {"pids_limit": 64}}
    question = {"kernel_name": "pcm-container", "settings": settings}
    checked = live.ask("POST", "/pcm/settings/check", question).json
    assert checked["is_valid"] is True
    found = checked["effective"]
    assert (found["memory"], found["network"], found["timeout"]) == (256 * MIB, False, 60)
    assert (found["processes"], checked["allowed"]["processes"]) == (64, 256)


def test_a_cell_that_takes_too_long_is_interrupted_and_else_its_kernel_ended(
    live: LiveServer, begin: Begin
) -> None:
    for name in ("pcm-in-process", "pcm-venv"):
        kernel, channels = begin(name, {"timeout": 0.5}, f"{name}.ipynb")
        assert channels.run("1")["status"] == "ok"
        reply = channels.run("while True: pass")
        assert reply["ename"] == "KeyboardInterrupt"
        assert "longer than the notebook allows, 0.5 s" in of(live, kernel)["notice"]
        assert channels.run("'kept'")["status"] == "ok"
    channels.begin("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass")
    death = until(lambda: of(live, kernel)["death"], "it is ended")
    assert death["kind"] == "timeout"
    assert "longer than the notebook allows" in death["reason"]


# For jupyter-resource-usage


def test_a_usage_request_is_answered_with_true_figures(live: LiveServer, begin: Begin) -> None:
    kernel, channels = begin("pcm-in-process")
    channels.run("1")
    usage = channels.request("usage_request", {}, "control")
    assert usage["kernel_memory"] == pytest.approx(of(live, kernel)["usage"]["memory"], rel=0.1)
    assert usage["host_virtual_memory"]["total"] == psutil.virtual_memory().total
