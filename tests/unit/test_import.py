"""What importing the package costs, and which names it hands on."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import py_code_mode_jupyter
from py_code_mode_jupyter import execution

HEAVY = {"IPython", "docker", "ipykernel", "ipywidgets", "jupyter_client", "tornado", "traitlets", "zmq"}


def modules_after(statement: str) -> set[str]:
    program = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import py_code_mode_jupyter",
        "from py_code_mode_jupyter import ExecutionResult, CodeModeError",
        "from py_code_mode_jupyter.execution import SubprocessConfig, InProcessConfig, Capability",
    ],
)
def test_importing_loads_no_heavy_library(statement: str) -> None:
    loaded = modules_after(statement)
    assert "py_code_mode_jupyter" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("package", [py_code_mode_jupyter, execution], ids=lambda package: package.__name__)
def test_every_public_name_exists_and_every_handed_on_name_is_public(package: object) -> None:
    public = set(package.__all__)
    assert {name for name in public if getattr(package, name) is None} == set()
    assert set(package._HOMES) <= public
    assert public <= set(dir(package))


@pytest.mark.parametrize("package", [py_code_mode_jupyter, execution], ids=lambda package: package.__name__)
def test_public_names_are_those_of_their_home(package: object) -> None:
    for name, home in package._HOMES.items():
        module = importlib.import_module(home, package.__name__)
        assert getattr(package, name) is getattr(module, name)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sesion'"):
        py_code_mode_jupyter.Sesion  # noqa: B018 - looking it up is the test


def test_lists_of_public_names_are_sorted() -> None:
    for package in (py_code_mode_jupyter, execution):
        assert list(package.__all__) == sorted(package.__all__)
