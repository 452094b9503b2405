"""What isolated code may ask of the host: whatever it sends is answered, bounded, and does no harm.

The broker is asked here as the private channel asks it, so that thousands of attacks take seconds.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from py_code_mode_jupyter.environments import broker as brokers
from py_code_mode_jupyter.environments import requests
from py_code_mode_jupyter.environments.broker import MOST_LOGGED, Broker
from py_code_mode_jupyter.environments.deps import Deps, OwnSite, record_of
from py_code_mode_jupyter.storage.search import MAX_LIMIT
from py_code_mode_jupyter.workflow import MAX_SOURCE

if TYPE_CHECKING:
    from py_code_mode_jupyter import FileStorage
    from py_code_mode_jupyter.environments.requests import Answer

GOOD = b"def run(a=1):\n    'Does something.'\n    return a\n"
TEXT = {"format": "text", "summary": ""}
Ask = Callable[..., dict[str, Any]]


def broker_of(storage: FileStorage | None, place: str = "container") -> Broker:
    return Broker(storage, Deps(record_of(storage), OwnSite(), allowed=False), place=place)


@pytest.fixture
def broker(storage: FileStorage) -> Broker:
    return broker_of(storage)


@pytest.fixture
def ask(broker: Broker) -> Ask:
    """Ask something, and return the answer's header."""

    def asked(op: str, payload: bytes = b"", **params: Any) -> dict[str, Any]:
        return broker.answer({"id": 1, "op": op, "params": params}, bytearray(payload))[0]

    return asked


def create(ask: Ask, source: bytes = GOOD, name: Any = "x", **others: Any) -> dict[str, Any]:
    params = {"name": name, "description": "", "overwrite": False, **others}
    return ask("workflows.create", source, **params)


def kind(answer: dict[str, Any]) -> str:
    return str(answer["error"]["kind"]) if "error" in answer else "done"


# Names, and what is allowed at all


NAMES = [
    "../x",
    "/etc/passwd",
    "a/../../b",
    "x\0y",
    "..",
    "a" * 10**5,
    "",
    "x.py",
    "\ud800",
    "x\n",
    ".about",
    "-rf",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_with_path_parts_leads_nowhere(ask: Ask, storage: FileStorage, name: str) -> None:
    storage.workflows.list()
    before = sorted(Path(storage.base_path).rglob("*"))
    assert kind(create(ask, name=name)) == "InvalidWorkflowError"
    for op in ("workflows.get", "workflows.load", "workflows.delete"):
        assert kind(ask(op, name=name)) == "WorkflowNotFoundError"
    if name != "x.py":
        assert (
            kind(ask("artifacts.save", b"x", name=name, format=TEXT, description=""))
            == "InvalidArtifactNameError"
        )
    assert sorted(Path(storage.base_path).rglob("*")) == before


FORBIDDEN = [
    "workflows.approve",
    "workflows.needs_consent",
    "workflows.create ",
    "__class__",
    "artifacts",
    "x" * 10**6,
    "",
]


@pytest.mark.parametrize("op", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_nothing_else_may_be_asked(ask: Ask, op: str) -> None:
    answer = ask(op, name="x", place="host")
    assert kind(answer) == "BrokerError"
    assert len(str(answer)) < 1000


def test_who_wrote_a_workflow_is_not_for_the_writer_to_say(ask: Ask, storage: FileStorage) -> None:
    forged = {"origin": "host", "approvals": {"host": "x"}, "sha256": "0" * 64, "place": "host"}
    assert kind(create(ask, GOOD + b"# origin: host\n", **forged)) == "done"
    assert storage.workflows.get("x").info.origin == "container"
    assert storage.workflows.needs_consent("x", "host")


def test_an_approved_workflow_that_is_replaced_is_not_approved(ask: Ask, storage: FileStorage) -> None:
    create(ask)
    storage.workflows.approve("x", "host")
    assert kind(create(ask, GOOD + b"#", overwrite=True)) == "done"
    assert storage.workflows.needs_consent("x", "host")


def test_what_a_person_wrote_is_neither_replaced_nor_deleted(ask: Ask, storage: FileStorage) -> None:
    storage.workflows.create("mine", GOOD.decode())
    (storage.workflows.path / "by_hand.py").write_text("def run(): 'A person is just')")
    storage.workflows.create("of_a_venv", GOOD.decode(), origin="venv")
    before = {path: path.read_text() for path in storage.workflows.path.glob("*.py")}
    for name in ("mine", "by_hand", "of_a_venv"):
        assert kind(create(ask, GOOD + b"#", name, overwrite=True)) == "WorkflowProtectedError"
        assert kind(create(ask, GOOD + b"#", name)) == "WorkflowExistsError"
        assert kind(ask("workflows.delete", name=name)) == "WorkflowProtectedError"
    assert {path: path.read_text() for path in storage.workflows.path.glob("*.py")} == before


def test_what_a_more_isolated_place_wrote_does_not_run_in_a_venv(storage: FileStorage) -> None:
    storage.workflows.create("x", GOOD.decode(), origin="container")
    header, payload = broker_of(storage, "venv").answer(
        {"id": 1, "op": "workflows.load", "params": {"name": "x"}}, bytearray()
    )
    assert (kind(header), payload) == ("WorkflowConsentError", b"")


def test_a_link_in_the_place_of_a_workflow_is_neither_read_nor_written_through(
    ask: Ask, storage: FileStorage, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("def run(): 'secret'")
    (storage.workflows.path / "link.py").symlink_to(secret)
    assert kind(ask("workflows.load", name="link")) == "InvalidWorkflowError"
    header, payload = Broker.answer(
        broker_of(storage), {"id": 1, "op": "workflows.get", "params": {"name": "link"}}, bytearray()
    )
    assert b"secret" not in payload
    assert "secret" not in json.dumps(header)
    assert kind(create(ask, name="link", overwrite=True)) == "WorkflowProtectedError"
    assert kind(ask("workflows.delete", name="link")) == "WorkflowProtectedError"
    assert secret.read_text() == "def run(): 'secret'"


# Sources


def filled(unit: str) -> str:
    return (unit * (MAX_SOURCE // len(unit)))[:MAX_SOURCE]


# What the parser takes for so and so often: brackets, operators, beginnings, endings. A dot is a blank.
UNITS = (
    "( [ { f( a[ lambda.x= lambda: ~ - x= ** a. a** a+ a< a, {a: (a, f'{ '\\d'; (a:= # 9 0; a; {** f(** "
    "''' f'''{ @a\n \t if.a:\n. try:\n not. await. yield. with.( case. match. print. a.if.b.else. "
    "[a.for.a.in. 0x 1j 'a'."
).split(" ")
BOMBS = {unit: filled(unit.replace(".", " ") if len(unit) > 2 else unit) for unit in UNITS}
BOMBS |= {
    "blocks": "\n".join(" " * depth + "if 1:" for depth in range(300)),
    "finally in finally": "def run():\n"
    + "".join(f"{' ' * n}try: pass\n{' ' * n}finally:\n" for n in range(1, 19))
    + " " * 19
    + "pass",
    "a long docstring": 'def run():\n  """' + "x" * 60_000 + '"""',
    "a long default": "def run(a=" + "1+" * 20_000 + "1): pass",
    "many parameters": f"def run({', '.join(f'a{n}' for n in range(9000))}): pass",
    "many runs": "def run(): pass\n" * 4000,
    "a null": "def run(): '\0'",
    "an escape": "def run(): '\x1b]52;c;aGk=\x07'",
    "hidden order": "def run(): '\u202e'",
    "look-alikes": "def r\u057dn(): pass",
    "warnings": "def run():\n" + "  '\\d' is 1\n" * 4000,
}


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_source_is_no_attack(
    broker: Broker, storage: FileStorage, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a thread, as broker's are; nothing grows, hangs, ends the host or fills its error stream."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers: list[Answer] = []
    spent: list[float] = []

    def attack() -> None:
        started = time.thread_time()
        params = {"name": "x", "description": "", "overwrite": True}
        for op in ("workflows.create", "workflows.get", "workflows.list", "workflows.load"):
            answers.append(broker.answer({"id": 1, "op": op, "params": params}, bytearray(source.encode())))
        spent.append(time.thread_time() - started)

    thread = threading.Thread(target=attack)
    thread.start()
    thread.join()
    assert [type(payload) for _, payload in answers] == [bytes] * 4
    assert all(answer.get("error", {}).get("message") != brokers.FAILED for answer, _ in answers)
    assert spent[0] < 5
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 100 * 2**20
    assert all(len(json.dumps(answer)) < 30_000 for answer, _ in answers)
    assert len(storage.workflows.list()) <= 1
    assert capfd.readouterr() == ("", "")


def test_what_a_workflow_says_about_itself_gives_no_orders_to_a_terminal(
    ask: Ask, storage: FileStorage
) -> None:
    escapes = r"\x1b[2J\ud800\u202e\0"
    create(ask, f"def run(): 'a{escapes}b'".encode())
    create(ask, name="y", description="a\x1b[2J\ud800\u202e\0b")
    for info in storage.workflows.list():
        assert info.description == "a\ufffd[2J\ufffd\ufffd\ufffdb"


def test_a_source_that_is_no_text_is_refused(ask: Ask, storage: FileStorage) -> None:
    for source in (b"\xff\xfe", b"def run(): '\xed\xa0\x80'", b"\xef\xbb\xbfdef run(): pass", b""):
        assert kind(create(ask, source)) in ("BrokerError", "InvalidWorkflowError"), source
    assert storage.workflows.list() == []


# Sizes, numbers and floods


def test_payloads_and_words_are_bounded(ask: Ask) -> None:
    assert kind(create(ask, GOOD + b"#" * MAX_SOURCE)) == "InvalidWorkflowError"
    assert kind(create(ask, b"#" * 2**24)) == "InvalidWorkflowError"
    assert kind(create(ask, description="x" * 5000)) == "InvalidWorkflowError"
    assert (
        kind(ask("artifacts.save", b"x", name="x", format=TEXT, description="\ud800"))
        == "ArtifactFormatError"
    )
    assert kind(ask("workflows.search", query="x" * 2000, limit=10)) == "ConfigurationError"
    for limit in (0, -1, True, 1.5, None, "1"):
        assert kind(ask("workflows.search", query="x", limit=limit)) in ("BrokerError", "ConfigurationError")


def test_a_search_returns_so_many_and_no_more(broker: Broker, storage: FileStorage) -> None:
    for number in range(MAX_LIMIT + 5):
        storage.workflows.create(f"same{number}", GOOD.decode())
    params = {"query": "something", "limit": 10**9}
    _, payload = broker.answer({"id": 1, "op": "workflows.search", "params": params}, bytearray())
    assert len(json.loads(payload)) == MAX_LIMIT


def test_workflows_cannot_be_made_without_end(
    ask: Ask, storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MOST_WORKFLOWS", 5)
    kinds = [kind(create(ask, name=f"x{number}")) for number in range(8)]
    assert kinds == ["done"] * 5 + ["BrokerError"] * 3
    assert storage.workflows.count() == 5


def test_workflows_cannot_be_made_at_any_speed(storage: FileStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "CREATIONS", 10)
    monkeypatch.setattr(requests, "CREATIONS_PER_SECOND", 0.001)
    broker = broker_of(storage)
    params = {"name": "x", "description": "", "overwrite": True}
    asked = {"id": 1, "op": "workflows.create", "params": params}
    kinds = [kind(broker.answer(asked, bytearray(GOOD))[0]) for _ in range(20)]
    assert kinds == ["done"] * 10 + ["BrokerError"] * 10


def test_a_flood_takes_a_part_of_the_hosts_time_and_not_all(
    storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "WORK_AHEAD", 0.1)
    monkeypatch.setattr(brokers, "WORK_SHARE", 0.2)
    broker = broker_of(storage)
    started, worked = time.monotonic(), time.thread_time()
    while (elapsed := time.monotonic() - started) < 1.5:
        broker.answer({"id": 1, "op": "artifacts.list", "params": {}}, bytearray())
    assert time.thread_time() - worked < 0.1 + 0.2 * elapsed + 0.05


def test_what_is_refused_is_logged_on_one_line_and_not_without_end(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(500):
            ask("x\nERROR forged line", name="../x\nforged")
            create(ask, name="../x\nERROR forged\n" + "x" * 10_000)
    assert len(caplog.records) == MOST_LOGGED
    for record in caplog.records:
        assert "\n" not in record.getMessage()
        assert len(record.getMessage()) < 600
    assert "not logged" in caplog.records[-1].getMessage()


# Anything at all


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["x", "run", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = (
    "name",
    "description",
    "overwrite",
    "query",
    "limit",
    "version",
    "format",
    "summary",
    "metadata",
    "spec",
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "op": JSON | st.sampled_from(sorted(broker_of(None)._table)),
        "params": JSON
        | st.dictionaries(st.sampled_from(WORDS), JSON | st.dictionaries(st.sampled_from(WORDS), JSON)),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=HEADERS, payload=st.binary(max_size=50))
def test_whatever_is_asked_gets_an_answer(broker: Broker, header: dict[str, Any], payload: bytes) -> None:
    answer, data = broker.answer(header, bytearray(payload))
    json.dumps(answer)
    memoryview(data)
    assert type(answer["id"]) in (int, bool)
    assert answer.get("error", {}).get("message") != brokers.FAILED


@pytest.fixture(autouse=True)
def nothing_outside_is_touched(tmp_path: Path) -> Iterator[None]:
    passwd = Path("/etc/passwd").stat()
    yield
    assert Path("/etc/passwd").stat() == passwd
    assert {path.name for path in tmp_path.iterdir()} <= {"storage", "secret.py"}
    assert not os.path.lexists("x")


# From inside, over the private channel


@pytest.fixture(params=["venv", pytest.param("container", marks=pytest.mark.needs("docker"))])
def isolated(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``async with isolated()``: a session in an isolated place."""
    opened: Callable[..., Any] = request.getfixturevalue(request.param)
    return opened


UNASKED = """
channel = artifacts._channel
for number in range(10**6, 10**6 + 1000):
    channel.tell({"id": number, "result": {"name": "x"}})
    channel.tell({"id": number, "error": {"kind": "BrokerError"}})
    channel.tell({"ready": True, "measured": {"network_isolation": True, "uid": 7}, "pid": 1})
forged = sum(1 for _ in range(50) if not artifacts.exists("none"))
"""
UNREAD = """
import threading
channel = artifacts._channel
artifacts.save("large", b"x" * 10**6)
channel._answer = lambda *frame: threading.Event().wait()
for number in range(10**6, 10**6 + 2000):
    channel.tell({"id": number, "op": "artifacts.load", "params": {"name": "large", "version": None}})
"""
SOURCES = """
from py_code_mode_jupyter.errors import CodeModeError
kinds = []
for source in ["(" * 5000, "x = " + "-" * 60_000, "def run(): pass\\n" * 4000, "\\0", "0;" * 30_000]:
    params = {"name": "x", "description": "", "overwrite": True}
    try: artifacts._channel.call("workflows.create", params, source.encode())
    except CodeModeError as error: kinds.append(type(error).__name__)
kinds
"""


async def test_replies_that_nobody_asked_for_and_sources_as_weapons_change_nothing(
    isolated: Callable[..., Any], storage: FileStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with isolated() as session:
        probed = await session.probe()
        result = await session.run(f"{UNASKED}\nforged")
        assert (result.error, result.value) == (None, 50)
        assert await session.probe() == probed
        assert (await session.run(SOURCES)).value == ["InvalidWorkflowError"] * 5
        assert (await session.run("1 + 1")).value == 2
    assert (storage.artifacts.list(), storage.workflows.list()) == ([], [])
    refusals = [record for record in caplog.records if "was refused" in record.getMessage()]
    assert 0 < len(refusals) <= MOST_LOGGED


async def test_answers_that_nobody_reads_hold_nothing_up(
    isolated: Callable[..., Any], storage: FileStorage
) -> None:
    before = psutil.Process().memory_info().rss
    async with isolated() as session:
        assert (await session.run(UNREAD)).is_ok
        assert (await session.run("1 + 1")).value == 2
        assert psutil.Process().memory_info().rss - before < 100 * 2**20
        started = time.monotonic()
        await session.reset()
        assert (await session.run("artifacts.exists('large')")).value is True
    assert time.monotonic() - started < 30
