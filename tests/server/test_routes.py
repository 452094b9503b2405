"""Every route is described, guarded and typed; walks are over the handlers' table, so none is forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import jsonschema
import pytest
from jupyter_server.auth.authorizer import Authorizer
from tornado.web import RequestHandler

from py_code_mode_jupyter.server.handlers import ROUTES
from py_code_mode_jupyter.storage import FileStorage

from .conftest import OPENAPI, Ask

VERBS = ("get", "head", "post", "put", "patch", "delete")
PARTS = {"name": "some", "id": "0" * 32, "action": "interrupt"}


def alternatives(pattern: str) -> list[str]:
    """Return the paths of a pattern, with its parameters in braces."""
    shown = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", r"{\1}", pattern)
    choice = re.search(r"\(\?P<\w+>([\w|]+)\)", shown)
    words = choice[1].split("|") if choice else [""]
    return [shown.replace(choice[0], word) if choice else shown for word in words]


def described(path: str) -> str:
    """Return a described path with our names of its parameters."""
    return re.sub(r"\{\w+_id\}", "{id}", path)


def verbs_of(handler: type[RequestHandler]) -> list[str]:
    return [verb for verb in VERBS if getattr(handler, verb) is not getattr(RequestHandler, verb)]


def routes() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield verb, path and description of every operation that a handler answers."""
    operations = {described(path): found for path, found in OPENAPI["paths"].items()}
    for pattern, handler in ROUTES:
        for path in alternatives(pattern):
            for verb in verbs_of(handler):
                yield verb, path, operations.get(path, {}).get(verb, {})


ALL = list(routes())
IDS = [f"{verb} {path}" for verb, path, _ in ALL]


def test_what_is_described_is_what_is_answered() -> None:
    answered = {(path, verb) for verb, path, _ in ALL}
    said = {(described(path), verb) for path, found in OPENAPI["paths"].items() for verb in found}
    assert answered == said
    assert len(answered) > 25


def test_every_operation_says_what_right_it_needs() -> None:
    for verb, path, found in ALL:
        assert re.fullmatch(r"pcm:[a-z]+", found["x-resource"]), path
        wanted = {"get": {"read"}, "post": {"execute", "read"}, "put": {"write"}, "delete": {"write"}}[verb]
        assert found["x-action"] in wanted, path


def fill(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: PARTS[match[1]], path)


def options_of(verb: str) -> dict[str, Any]:
    return {"body": b'{"x": 1}'} if verb in ("post", "put") else {}


def told(answer: Any) -> dict[str, str]:
    """Return a failure, once it is clear that it is told in the form that all have."""
    assert answer.headers["Content-Type"].startswith("application/json")
    found = json.loads(answer.body)
    assert {*found} == {"error", "message", "remedy"}
    assert all(isinstance(text, str) for text in found.values())
    assert "Traceback" not in answer.body.decode()
    return found


def test_nobody_is_let_in_without_credentials(ask: Ask, tmp_path: Any) -> None:
    FileStorage(tmp_path / "storage").artifacts.save("some", "kept")
    for verb, path, _ in ALL:
        for headers in ({"Authorization": ""}, {"Authorization": "token wrong"}):
            answer = ask(verb.upper(), fill(path), headers=headers, **options_of(verb))
            assert answer.code == 403, (verb, path, answer.code)
            assert told(answer)["error"] == "Forbidden"
    assert FileStorage(tmp_path / "storage").artifacts.load("some") == "kept"


class Strict(Authorizer):
    """Allows nothing, and remembers what was asked."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return False


class TestAnAuthorizer:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        jp_server_config["ServerApp"]["authorizer_class"] = Strict
        return jp_server_config

    def test_is_asked_for_what_is_described_and_obeyed(self, ask: Ask, tmp_path: Any) -> None:
        FileStorage(tmp_path / "storage").artifacts.save("some", "kept")
        for verb, path, found in ALL:
            Strict.asked.clear()
            answer = ask(verb.upper(), fill(path), **options_of(verb))
            assert answer.code == 403, (verb, path)
            told(answer)
            assert Strict.asked == [(found["x-action"], found["x-resource"])], (verb, path)
        assert FileStorage(tmp_path / "storage").artifacts.load("some") == "kept"


def schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": OPENAPI["components"]}


def check(answer: Any, found: dict[str, Any]) -> None:
    """Check a response against its description."""
    response = found["responses"].get(str(answer.code))
    assert response is not None, (answer.code, answer.body)
    content = response.get("content", {}).get("application/json")
    if content is None:
        return
    jsonschema.validate(json.loads(answer.body), {**content["schema"], "components": OPENAPI["components"]})


def test_every_route_answers_whoever_may_ask_as_it_is_described(ask: Ask, tmp_path: Any) -> None:
    storage = FileStorage(tmp_path / "storage")
    storage.artifacts.save("some", [1, 2])
    storage.workflows.create("some", "def run():\n    return 1\n")
    order = {"get": 0, "post": 1, "put": 2, "delete": 3}
    answered = {}
    for verb, path, found in sorted(ALL, key=lambda one: order[one[0]]):
        if path == "/pcm/events":
            continue
        answer = ask(verb.upper(), fill(path), **options_of(verb))
        check(answer, found)
        assert answer.code < 500, (verb, path, answer.body)
        answered[verb, path] = answer.code
    assert answered["get", "/pcm/artifacts/{name}"] == 200
    assert answered["delete", "/pcm/workflows/{name}"] == 204


def test_another_verb_is_refused(ask: Ask) -> None:
    answer = ask("DELETE", "/pcm/health")
    assert answer.code == 405
    assert told(answer)["error"] == "MethodNotAllowed"


def test_the_description_is_one_of_openapi(tmp_path: Any) -> None:
    assert OPENAPI["openapi"].startswith("3.1")
    for name, found in OPENAPI["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(found)
        references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(found))
        for reference in references:
            assert reference.rpartition("/")[2] in OPENAPI["components"]["schemas"], name
