"""Sessions are started with settings, chosen, watched, interrupted, reset, restarted and stopped."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

from py_code_mode_jupyter.config import ContainerConfig, InProcessConfig, SubprocessConfig
from py_code_mode_jupyter.errors import ConfigurationError
from py_code_mode_jupyter.magics.commands import GRAMMAR
from py_code_mode_jupyter.magics.configuring import (
    CONFIGURATIONS,
    SECRETS,
    fields_of,
    make_executor,
    read_field,
)

from .conftest import Shell, until

TYPED = {
    "allow_runtime_deps": ("--no-allow-runtime-deps", False),
    "auth_disabled": ("--auth-disabled", True),
    "confine_writes": ("--no-confine-writes", False),
    "cpu_quota": ("--cpu-quota 50000", 50_000),
    "default_timeout": ("--default-timeout inf", float("inf")),
    "deps": ("--deps six --deps 'numpy>=2'", ("six", "numpy>=2")),
    "disk_limit": ("--disk-limit 64m", 64 * 2**20),
    "docker_host": ("--docker-host unix:///run/x.sock", "unix:///run/x.sock"),
    "env": ("--env HOME --env A=b", ("HOME", "A=b")),
    "filter_output": ("--no-filter-output", False),
    "fresh_per_run": ("--fresh-per-run", True),
    "image": ("--image py-code-mode:tools", "py-code-mode:tools"),
    "interrupt_grace": ("--interrupt-grace 2.5", 2.5),
    "max_output": ("--max-output 1m", 2**20),
    "memory_limit": ("--memory-limit 1g", 2**30),
    "network_disabled": ("--network-disabled", True),
    "pids_limit": ("--pids-limit 64", 64),
    "publish": ("--publish 8765", "127.0.0.1:8765"),
    "python_version": ("--python-version 3.12", "3.12"),
    "remote_url": ("--remote-url https://host:1", "https://host:1"),
    "runtime": ("--runtime runsc", "runsc"),
    "startup_timeout": ("--startup-timeout 20", 20.0),
    "timeout": ("--timeout 7", 7.0),
    "venv_dir": ("--venv-dir /tmp", "/tmp"),
    "wheelhouse": ("--wheelhouse /tmp", "/tmp"),
    "working_dir": ("--working-dir /tmp", "/tmp"),
    "writable_paths": ("--writable-paths /tmp", ("/tmp",)),
}
EVERY_FIELD = [
    (executor, field.name)
    for executor, kind in CONFIGURATIONS.items()
    for field in dataclasses.fields(kind)
    if field.name not in SECRETS
]


@pytest.mark.parametrize(("executor", "name"), EVERY_FIELD)
def test_every_field_of_a_configuration_is_an_option_of_start(executor: str, name: str) -> None:
    typed, expected = TYPED[name]
    _, request = GRAMMAR.parse(f"start x -e {executor} {typed}")
    value = read_field(executor, name, getattr(request.given, f"field_{name}"))
    made = getattr(make_executor(executor, {name: value}).config, name)
    shown = tuple(map(str, made)) if isinstance(made, tuple) else made
    assert (str(shown) if isinstance(expected, str) else shown) == expected


def test_each_option_of_start_says_what_it_is_for_and_who_takes_it() -> None:
    options = GRAMMAR.parser("start").options
    for executor, name in EVERY_FIELD:
        about = str(options[f"--{name.replace('_', '-')}"].help)
        assert len(about.split()) > 2
        assert executor in about or "(" not in about or fields_of("in-process").keys() >= {name}
    assert str(options["--network-disabled"].help).endswith("(container)")
    assert str(options["--memory-limit"].help).endswith("(venv, container)")


def test_a_secret_is_no_option_and_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--auth-token" not in GRAMMAR.parser("start").options
    with pytest.raises(ConfigurationError, match="PCM_AUTH_TOKEN") as caught:
        make_executor("container", {"auth_token": "hidden-1"})
    assert "hidden-1" not in str(caught.value)
    monkeypatch.setenv("PCM_AUTH_TOKEN", "from-the-environment")
    assert make_executor("container", {}).config.auth_token == "from-the-environment"  # noqa: S105 - nobody's
    monkeypatch.delenv("PCM_AUTH_TOKEN")
    one, other = (make_executor("container", {}).config.auth_token for _ in range(2))
    assert len(one) > 30
    assert one != other
    assert make_executor("container", {"auth_disabled": True}).config.auth_token is None


def test_a_session_takes_what_was_typed_then_what_is_configured_then_the_default(shell: Shell) -> None:
    shell.said("%config PcmMagics.in_process = {'max_output': '1m', 'interrupt_grace': 3.0}")
    shell.said("%pcm start typed -e in-process --max-output 2m --use")
    config = shell.notebook.running("typed").executor.config
    assert config == InProcessConfig(max_output=2 * 2**20, interrupt_grace=3.0)
    shell.said("%pcm run -e in-process 1")
    assert shell.notebook.running("in-process").executor.config.max_output == 2**20


def test_the_same_settings_come_back_with_the_name(shell: Shell) -> None:
    shell.said("%pcm start tight -e in-process --max-output 2m")
    shell.said("%pcm stop tight")
    shell.said("%pcm run -s tight 1")
    assert shell.notebook.running("tight").executor.config.max_output == 2 * 2**20


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("start x -e in-process --memory-limit 1g", ("--memory-limit", "-e in-process does not take it")),
        ("start x -e in-process --default-timeout soon", ("default_timeout='soon'", "Give e.g. 30")),
        ("start x -e container --cpu-quota half", ("cpu_quota='half'", "not a whole number")),
        ("start x -e venv --python-version 2.7", ("python_version='2.7'", "3.11 and newer")),
        ("start x -e venv --memory-limt 1g", ("--memory-limt", "Did you mean '--memory-limit'?")),
        ("start -x", ("arguments", "%pcm start --help")),
        ("start venv -e in-process", ("kept for venv",)),
        ("start x -e in-process --build", ("only py-code-mode:base",)),
    ],
)
def test_settings_that_cannot_be_used_are_refused_in_one_line(
    shell: Shell, line: str, named: tuple[str, ...]
) -> None:
    shown = shell.failing(f"%pcm {line}")
    assert "\n" not in shown
    assert [word for word in named if word not in shown] == []
    assert shell.notebook.sessions.names == []


def test_a_configured_setting_that_does_not_exist_is_named(shell: Shell) -> None:
    shell.said("%config PcmMagics.in_process = {'max_outptu': '1m'}")
    assert "Did you mean '--max-output'?" in shell.failing("%pcm run 1")


def test_a_running_session_is_not_started_again(shell: Shell) -> None:
    shell.said("%pcm start lab -e in-process")
    assert "runs already. `%pcm stop lab` first" in shell.failing("%pcm start lab -e in-process")


def test_the_session_in_use_is_meant_where_none_is_named(shell: Shell) -> None:
    assert "The current session is in-process." in shell.said("%pcm use")
    shell.said("%pcm start lab -e in-process")
    assert shell.said("%pcm use lab") == "The current session is lab."
    shell.said("%pcm run where = 'lab'")
    assert shell.said("%pcm run -s lab where") == "'lab'"
    assert "*  lab" in shell.said("%pcm sessions")
    assert "Session lab" in shell.said("%pcm status")
    shell.said("%pcm stop")
    assert "The current session is in-process." in shell.said("%pcm use")


def test_a_run_in_another_thread_is_interrupted(shell: Shell) -> None:
    failed: list[str] = []
    shell.said("%pcm start loop -e in-process")

    def work() -> None:
        try:
            shell.shell.run_line_magic("pcm", "run -s loop -t 60 exec('while True: pass')")
        except Exception as error:  # noqa: BLE001 - the test looks at it
            failed.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    session = shell.notebook.running("loop")
    until(lambda: _state(shell, session) == "busy", "the code runs")
    assert shell.said("%pcm interrupt loop") == "Interrupted loop (in-process)."
    thread.join(30)
    assert failed == ["The run was interrupted."]


def _state(shell: Shell, session: Any) -> str:
    return str(shell.notebook.background.call(session.stats())["state"])


@pytest.mark.parametrize("command", ["interrupt", "reset", "restart", "stop"])
def test_all_sessions_can_be_meant_at_once(shell: Shell, command: str) -> None:
    assert shell.said(f"%pcm {command} --all") == "No session is running."
    shell.said("%pcm run 1\n%pcm run -s other -e in-process 1")
    lines = shell.said(f"%pcm {command} --all").splitlines()
    assert [line.split()[1] for line in lines] == ["in-process", "other"]
    assert shell.notebook.sessions.names == ([] if command == "stop" else ["in-process", "other"])


def test_the_configurations_are_the_executors() -> None:
    assert [*CONFIGURATIONS.values()] == [InProcessConfig, SubprocessConfig, ContainerConfig]
