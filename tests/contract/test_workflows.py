"""Executed code keeps and calls workflows alike in every place; each runs where it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from py_code_mode_jupyter import ExecutionResult, FileStorage, Session

LATER = "import asyncio\nasync def run(n):\n    await asyncio.sleep(0)\n    return workflows.add(n)"
OFFLINE = True
KEEP = f"""
workflows.create("add", "def run(a, b: int = 2):\\n    'Adds two numbers.'\\n    return a + b\\n")
workflows.create("later", {LATER!r})
workflows.create("fact", "def run(n): return 1 if n < 2 else n * workflows.fact(n=n - 1)")
workflows.create("circle", "def run(): return workflows.invoke('circle')")
workflows.create("keep", "def run(name):\\n    artifacts.save(name, [1])\\n    return artifacts.load(name)")
workflows.create("fail", "def run(x):\\n    y = x\\n    return 1 / y\\n")
"""


@pytest.fixture
async def kept(session: Session) -> Session:
    """A session whose code has made some workflows."""
    result = await session.run(KEEP)
    assert result.is_ok, result.error
    return session


def name_of(result: ExecutionResult) -> str:
    assert result.exception is not None, result.value
    return result.exception.name


async def test_a_workflow_is_kept_listed_called_and_deleted(kept: Session, storage: FileStorage) -> None:
    assert (
        await kept.run("(workflows.add(1), workflows.add(a=3, b=4), workflows.invoke('add', 5))")
    ).value == (
        3,
        7,
        7,
    )
    listed = await kept.run("[(w.signature, w.description, w.is_async) for w in workflows.list()][:1]")
    assert listed.value == [("add(a, b: int = 2)", "Adds two numbers.", False)]
    assert (await kept.run("workflows.get('add').source.count('return')")).value == 1
    assert (await kept.run("[w.name for w in workflows.search('adding numbers')][0]")).value == "add"
    assert {info.origin for info in storage.workflows.list()} == {kept.executor.name}
    await kept.run("workflows.delete('add')")
    assert not storage.workflows.exists("add")
    assert (await kept.run("(workflows.exists('add'), hasattr(workflows, 'add'))")).value == (False, False)


async def test_workflows_call_workflows_and_use_what_cells_use(kept: Session, storage: FileStorage) -> None:
    assert (await kept.run("workflows.fact(5)")).value == 120
    assert (await kept.run("workflows.keep(name='made')")).value == [1]
    assert storage.artifacts.exists("made")
    # What a cell does to the names is the cell's own affair.
    assert (await kept.run("artifacts = None\nworkflows.keep('again')")).value == [1]
    circle = await kept.run("workflows.circle()")
    assert (name_of(circle), circle.state_preserved) == ("RecursionError", True)
    assert "circle > circle" in str(circle.error)
    assert (await kept.run("workflows.fact(3)")).value == 6


async def test_an_async_one_is_awaited(kept: Session) -> None:
    assert (await kept.run("await workflows.later(n=5)")).value == 7
    assert (
        await kept.run("import asyncio\nawait asyncio.gather(workflows.later(1), workflows.later(2))")
    ).value == [
        3,
        4,
    ]


async def test_an_error_shows_the_workflows_own_lines(kept: Session) -> None:
    failed = await kept.run("workflows.fail(0)")
    assert name_of(failed) == "ZeroDivisionError"
    assert failed.exception is not None
    frame = failed.exception.frames[-1]
    assert (frame.filename, frame.lineno, frame.source) == ("<workflow fail>", 3, "return 1 / y")
    assert "return 1 / y" in str(failed.error)
    missing = await kept.run("workflows.add()")
    assert name_of(missing) == "TypeError"
    assert "workflows.add() missing 1 required positional argument: 'a'" in str(missing.error)


async def test_a_person_sees_names_signature_and_description(kept: Session) -> None:
    assert (await kept.run("set(dir(workflows)) >= {'add', 'later', 'create', 'invoke'}")).value is True
    assert (
        await kept.run("import inspect\nstr(inspect.signature(workflows.add))")
    ).value == "(a, b: int = 2)"
    shown = await kept.run("workflows.add?\nworkflows.later")
    assert "await later(n)" in str(shown.outputs[-1].data)


REFUSED = {
    "workflows.create('class', 'def run(): pass')": "InvalidWorkflowError",
    "workflows.create('../x', 'def run(): pass')": "InvalidWorkflowError",
    "workflows.create('list', 'def run(): pass')": "InvalidWorkflowError",
    "workflows.create('x', 'def go(): pass')": "InvalidWorkflowError",
    "workflows.create('x', 'def run(a, /): pass')": "InvalidWorkflowError",
    "workflows.create('x', 'def run(): pass\\nreturn 1')": "InvalidWorkflowError",
    "workflows.create('x', 'def run(:')": "InvalidWorkflowError",
    "workflows.create('x', 'def run(): pass' + '#' * 2**16)": "InvalidWorkflowError",
    "workflows.create('add', 'def run(): pass')": "WorkflowExistsError",
    "workflows.nothing()": "WorkflowNotFoundError",
    "workflows.invoke('../x')": "WorkflowNotFoundError",
    "workflows.get('nothing')": "WorkflowNotFoundError",
    "workflows.delete('nothing')": "WorkflowNotFoundError",
    "workflows.search('x', limit=0)": "ConfigurationError",
    "workflows.approve": "WorkflowNotFoundError",
}


async def test_what_cannot_be_is_refused_with_the_same_class(kept: Session, storage: FileStorage) -> None:
    before = storage.workflows.list()
    for call, error in REFUSED.items():
        assert name_of(await kept.run(call)) == error, call
    assert storage.workflows.list() == before
    caught = "from py_code_mode_jupyter.errors import WorkflowNotFoundError\n"
    caught += "try: workflows.get('ad')\nexcept WorkflowNotFoundError as e: about = (e.name, e.known)\nabout"
    assert (await kept.run(caught)).value in (("ad", ("add",)), ("ad", ["add"]))
    refused = await kept.run("workflows.create('x', 'def run():\\n  pass\\n\\ndef broken(:\\n')")
    assert "line 4" in str(refused.error)
    assert "def broken(:" in str(refused.error)


async def test_a_place_asks_before_it_runs_what_a_more_isolated_one_wrote(
    session: Session, storage: FileStorage
) -> None:
    asks = {"in-process": ["container", "venv"], "venv": ["container"], "container": []}[
        session.executor.name
    ]
    for origin in ("host", "in-process", "venv", "container"):
        storage.workflows.create(origin.replace("-", "_"), "def run(): return 1", origin=origin)
    storage.workflows.create("through", "def run(name): return workflows.invoke(name)")
    for name in ("host", "in_process", "venv", "container"):
        for call in (f"workflows.{name}()", f"workflows.through('{name}')"):
            result = await session.run(call)
            assert (name_of(result) if name in asks else result.value) == (
                "WorkflowConsentError" if name in asks else 1
            )
    for name in asks:
        storage.workflows.approve(name, session.executor.name)
        assert (await session.run(f"workflows.{name}()")).value == 1
        storage.workflows.create(name, "def run(): return 2", origin=name, overwrite=True)
        assert name_of(await session.run(f"workflows.{name}()")) == "WorkflowConsentError"


async def test_a_file_that_a_person_has_edited_counts_at_once(kept: Session, storage: FileStorage) -> None:
    path = storage.workflows.path / "add.py"
    path.write_text("def run(a): return -a")
    assert (await kept.run("(workflows.add(1), workflows.get('add').info.signature)")).value == (-1, "add(a)")
    path.write_text("def run(a)")
    broken = await kept.run("workflows.add(1)")
    assert name_of(broken) == "InvalidWorkflowError"
    assert "line 1" in str(broken.error)
    assert (await kept.run("[w.name for w in workflows.list() if w.problem]")).value == ["add"]


async def test_one_that_never_ends_is_interrupted_like_any_code(
    open_session: Callable[..., Any], storage: FileStorage
) -> None:
    storage.workflows.create("forever", "def run():\n    while True: workflows.exists('forever')")
    async with open_session(interrupt_grace=30.0) as session:  # a busy machine is slow to show where it was
        result = await session.run("kept = 1\nworkflows.forever()", timeout=0.5)
        assert (result.status, result.state_preserved) == ("timeout", True)
        assert (await session.run("(kept, workflows.exists('forever'))")).value == (1, True)
