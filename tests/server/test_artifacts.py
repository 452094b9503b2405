"""Artifacts in pages, and how they look from outside."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from py_code_mode_jupyter.errors import RequestRefusedError
from py_code_mode_jupyter.server.state.artifacts import ArtifactPages
from py_code_mode_jupyter.storage import FileStorage

if TYPE_CHECKING:
    from .live import LiveServer

MANY = 1_000  # `benchmarks/load.py` has ten times as many


async def off_loop(work: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> FileStorage:
    """A storage with many artifacts, copied from one."""
    storage = FileStorage(tmp_path_factory.mktemp("many"))
    info = storage.artifacts.save("a-00000", {"number": 0})
    original = storage.artifacts.path / "a-00000"
    fields = json.loads((original / "1.info.json").read_text())
    for number in range(1, MANY):
        made = storage.artifacts.path / f"a-{number:05}"
        made.mkdir(mode=0o700)
        shutil.copy(original / "1.json", made)
        # Some were saved at the same moment.
        created = info.created - timedelta(seconds=number // 3)
        about = fields | {"name": made.name, "created": created.isoformat(), "description": f"No. {number}"}
        (made / "1.info.json").write_text(json.dumps(about))
    return storage


async def walk(pages: ArtifactPages, storage: FileStorage, limit: int, filter: str = "") -> list[str]:
    names, after = [], None
    while True:
        page = await pages.page(storage, limit=limit, after=after, filter=filter)
        names += [info.name for info in page.artifacts]
        assert len(page.artifacts) == limit or page.next is None
        if page.next is None:
            assert page.total == len(names)
            return names
        after = page.next


async def test_of_many_artifacts_each_is_on_one_page(many: FileStorage) -> None:
    names = await walk(ArtifactPages(off_loop), many, 70)
    assert len(names) == len({*names}) == MANY
    assert names[0] == "a-00000"
    assert names[-1] == f"a-{MANY - 1:05}"


async def test_a_filter_looks_at_names_and_descriptions_in_whatever_case(many: FileStorage) -> None:
    pages = ArtifactPages(off_loop)
    found = {*await walk(pages, many, 7, "NO. 99")}
    assert found == {"a-00099", *(f"a-00{number}" for number in range(990, MANY))}
    assert await walk(pages, many, 7, "a-00017") == ["a-00017"]
    assert await walk(pages, many, 7, "nowhere") == []


async def test_what_is_saved_or_deleted_between_two_pages_is_seen(tmp_path: Path) -> None:
    storage, pages = FileStorage(tmp_path), ArtifactPages(off_loop)
    for number in range(6):
        storage.artifacts.save(f"a{number}", number)
    first = await pages.page(storage, limit=2, after=None, filter="")
    assert [info.name for info in first.artifacts] == ["a5", "a4"]
    storage.artifacts.delete("a4")
    storage.artifacts.save("new", 1)
    pages.forget()
    second = await pages.page(storage, limit=2, after=first.next, filter="")
    assert [info.name for info in second.artifacts] == ["a3", "a2"]
    again = await pages.page(storage, limit=2, after=None, filter="")
    assert [info.name for info in again.artifacts] == ["new", "a5"]
    assert again.total == 6


@pytest.mark.parametrize("after", ["x", "", "AAAA", "MjAyNg", "é", "/" * 400])
async def test_an_end_that_no_page_had_is_refused(tmp_path: Path, after: str) -> None:
    with pytest.raises(RequestRefusedError):
        await ArtifactPages(off_loop).page(FileStorage(tmp_path), limit=1, after=after, filter="")


def test_a_file_is_uploaded_described_previewed_and_downloaded(live: LiveServer) -> None:
    path = "/pcm/artifacts/table%20one"
    for text in (b'{"x": [1, 2]}', b'{"x": [1, 2, 3]}'):
        saved = live.ask("PUT", f"{path}?filename=data.JSON&description=two%20words", text)
        assert saved.status == 201
    assert (saved.json["version"], saved.json["format"]) == (2, "json")
    assert live.get(path)["description"] == "two words"
    assert [one["version"] for one in live.get(f"{path}/versions")["versions"]] == [2, 1]
    assert live.ask("GET", f"{path}/content?version=1").body == b'{"x": [1, 2]}'
    assert "filename*=utf-8''table" in live.ask("GET", f"{path}/content").headers["Content-Disposition"]
    preview = live.get(f"{path}/preview?version=2")
    assert (preview["kind"], preview["artifact"]["version"]) == ("json", 2)
    assert json.loads(preview["text"]) == {"x": [1, 2, 3]}
    assert "table one" in [one["name"] for one in live.get("/pcm/artifacts?filter=TWO")["artifacts"]]
    assert live.ask("DELETE", path).status == 204
    assert live.ask("GET", path).status == 404


def test_tables_and_images_are_previewed_as_data(live: LiveServer) -> None:
    pandas, images = pytest.importorskip("pandas"), pytest.importorskip("PIL.Image")
    artifacts = FileStorage(live.storage).artifacts
    artifacts.save("frame", pandas.DataFrame({"<b>": ["<script>", None] * 50}))
    artifacts.save("image", images.new("RGB", (2000, 1000)))
    table = live.get("/pcm/artifacts/frame/preview")["table"]
    assert table["columns"][0]["name"] == "<b>"
    assert table["rows"][:2] == [["<script>"], [None]]
    assert table["total_rows"] == 100 > len(table["rows"])
    image = live.get("/pcm/artifacts/image/preview")["image"]
    assert (image["media_type"], image["original_width"]) == ("image/png", 2000)
    assert image["width"] < 2000
    for name in ("frame", "image"):
        artifacts.delete(name)
