"""A place is verified if nothing that it promises is missing or contradicted; its own word is not enough."""

from __future__ import annotations

from typing import Any

import pytest

from py_code_mode_jupyter.server.state.isolation import isolation

INSIDE: dict[str, Any] = {
    "container_isolation": True,
    "network_isolation": True,
    "write_confinement": True,
    "uid": 10001,
    "capabilities": 0,
    "no_new_privileges": True,
    "seccomp": True,
    "memory_limit": 512 * 2**20,
    "pids_limit": 256,
    "cpu_quota": None,
    "disk_limit": 256 * 2**20,
    "deps_lock_enforced": True,
}
OUTSIDE: dict[str, Any] = {
    "network_mode": "none",
    "addresses": [],
    "read_only": True,
    "privileged": False,
    "capabilities_dropped": ["ALL"],
    "security": ["no-new-privileges"],
    "mounts": [],
    "memory_limit": 512 * 2**20,
    "pids_limit": 256,
    "cpu_quota": None,
    "user": "10001:10001",
    "control_group": {"memory": 512 * 2**20, "pids": 256},
}


def of(inside: dict[str, Any] | None = None, outside: dict[str, Any] | None = None) -> dict[str, Any]:
    return isolation("container", {**INSIDE, **(inside or {}), "outside": {**OUTSIDE, **(outside or {})}})


def test_a_container_in_which_all_holds_is_verified() -> None:
    found = of()
    assert (found["level"], found["is_verified"]) == ("container", True)
    assert found["summary"] == "container · no network · 512 MiB"
    assert {fact["holds"] for fact in found["facts"] if fact["name"] != "cpu_quota"} == {True}


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({}, {"privileged": True}),
        ({}, {"mounts": ["/host"]}),
        ({}, {"read_only": False}),
        ({}, {"security": []}),
        ({}, {"security": ["no-new-privileges", "seccomp=unconfined"]}),
        ({}, {"capabilities_dropped": None}),
        ({}, {"user": "0"}),
        ({}, {"control_group": {"memory": 2**40}}),
        ({"memory_limit": None}, {"control_group": {}, "memory_limit": None}),
        ({}, {"network_mode": "bridge", "addresses": ["172.17.0.2"]}),
        ({"capabilities": 1}, {}),
        ({"seccomp": False}, {}),
        ({"uid": 0}, {}),
        ({"write_confinement": "yes"}, {"read_only": False}),
    ],
)
def test_one_that_lacks_something_or_lies_is_not(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    found = of(inside, outside)
    assert found["is_verified"] is False
    assert found["level"] == "process"
    assert found["summary"].endswith("not verified")


def test_what_is_only_said_inside_is_not_verified() -> None:
    assert isolation("container", INSIDE)["is_verified"] is False
    assert isolation("container", {**INSIDE, "outside": {}})["is_verified"] is False
    assert isolation("container", {})["is_verified"] is False


def test_a_container_with_a_network_is_verified_and_says_so() -> None:
    found = of({"network_isolation": False}, {"network_mode": "py-code-mode", "addresses": ["172.18.0.2"]})
    assert found["is_verified"] is True
    assert found["summary"] == "container · network · 512 MiB"


def test_the_process_of_the_server_promises_nothing_and_that_is_verified() -> None:
    found = isolation("in-process", {"process_isolation": False, "outside": {"process_isolation": False}})
    assert (found["level"], found["is_verified"]) == ("none", True)
    assert found["summary"] == "in-process · no isolation"


@pytest.mark.parametrize(
    ("measured", "is_verified"),
    [
        ({"process_isolation": True, "outside": {"process_isolation": True}}, True),
        ({"process_isolation": True, "outside": {}}, False),
        ({"process_isolation": True, "outside": {"process_isolation": False}}, False),
        (
            {
                "process_isolation": True,
                "write_confinement": True,
                "outside": {"process_isolation": True, "no_new_privileges": False},
            },
            False,
        ),
        (
            {
                "process_isolation": True,
                "memory_limit": 2**28,
                "outside": {"process_isolation": True, "memory_limit": None},
            },
            True,
        ),
    ],
)
def test_a_venv_is_verified_by_what_the_system_says(measured: dict[str, Any], is_verified: bool) -> None:
    assert isolation("venv", measured)["is_verified"] is is_verified


def test_values_that_are_none_are_not_taken_for_measured() -> None:
    found = of({"memory_limit": "<script>", "cpu_quota": {"x": 1}})
    assert all(not isinstance(fact["inside"], str | dict) for fact in found["facts"])
