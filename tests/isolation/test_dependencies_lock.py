"""``allow_runtime_deps=False`` holds below ``deps``, and a package of one session is not in the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from py_code_mode_jupyter import Session

SNAPSHOT = """
import os, site, sys, sysconfig
def snapshot():
    found = set()
    for folder in {*site.getsitepackages(), sysconfig.get_path("stdlib"), *filter(os.path.isdir, sys.path)}:
        if os.path.realpath(folder) == os.getcwd():
            continue
        for top, _, names in os.walk(folder):
            found |= {os.path.join(top, name) for name in names}
    return found
before = snapshot()
"""
COMMANDS = {
    "deps": "deps.add('six')",
    "pip": "run(sys.executable, '-m', 'pip', 'install', 'six')",
    "uv-pip": "run(UV, 'pip', 'install', '--python', sys.executable, 'six')",
    "uv-target": "run(UV, 'pip', 'install', '--target', SITE, 'six')",
    "ensurepip": "run(sys.executable, '-m', 'ensurepip')",
    "ensurepip-root": "run(sys.executable, '-m', 'ensurepip', '--root', SITE)",
    "base-pip": "run(os.path.realpath(sys.executable), '-m', 'pip', 'install', '--target', SITE, 'six')",
    "write": "open(f'{SITE}/six.py', 'w').write('x = 1')",
    "write-base": "open(f'{BASE}/six.py', 'w').write('x = 1')",
    "change-base": "os.chmod(BASE, 0o777); open(f'{BASE}/ipykernel/__init__.py', 'a').write('x = 1')",
    "pth": "open(f'{SITE}/x.pth', 'w').write('/tmp')",
    "change-pth": "open(f'{SITE}/pcm_base.pth', 'a').write('/tmp')",
    "pyvenv-cfg": "open(f'{sys.prefix}/pyvenv.cfg', 'a').write('include-system-site-packages = true')",
    "link": "os.symlink('/tmp', f'{SITE}/linked')",
    "rename": "os.rename(SITE, SITE + '.old')",
    "move-in": "open('six.py', 'w').close(); os.rename('six.py', f'{SITE}/six.py')",
    "hard-link": "open('six.py', 'w').close(); os.link('six.py', f'{SITE}/six.py')",
    "remove": "os.unlink(f'{SITE}/pcm_base.pth')",
    "truncate": "os.truncate(f'{SITE}/pcm_base.pth', 0)",
    "stdlib": "open(sysconfig.get_path('stdlib') + '/pcm_planted.py', 'w').write('x = 1')",
    "child-of-child": "run('sh', '-c', f'sh -c \"echo x = 1 > {SITE}/six.py\"')",
    "mount": "run('mount', '-t', 'tmpfs', 'none', SITE)",
}
SETUP = f"""
import os, shutil, site, subprocess, sys, sysconfig
SITE = site.getsitepackages()[0]
def run(*command): subprocess.run(command, capture_output=True, timeout=60)
BASE = next(line for line in open(os.path.join(SITE, "pcm_base.pth")).read().split())
{SNAPSHOT}
"""


@pytest.fixture
async def locked(venv: Callable[..., Any]) -> Any:
    async with venv(allow_runtime_deps=False) as session:
        yield session


async def prepare(session: Session) -> None:
    from py_code_mode_jupyter.environments.uv import find_uv

    assert (await session.run(SETUP, variables={"UV": find_uv()})).is_ok


@pytest.mark.needs("landlock")
async def test_nothing_can_be_added_to_a_locked_environment(locked: Session) -> None:
    """Root or not: each way is tried in turn, then the whole environment is compared."""
    assert locked.supports("deps_lock_enforced")
    await prepare(locked)
    for name, command in COMMANDS.items():
        await locked.run(command, timeout=60)
        after = (await locked.run("sorted(snapshot() ^ before)")).value
        assert after == [], name
    assert (await locked.run("import importlib.util; importlib.util.find_spec('six') is None")).value is True


@pytest.mark.needs("landlock")
async def test_the_lock_is_measured_before_any_code_runs(locked: Session, venv: Callable[..., Any]) -> None:
    measured = (await locked.probe())["measured"]
    assert measured["deps_lock_enforced"] is True
    assert measured["write_confinement"] is True
    async with venv() as open_session:
        measured = (await open_session.probe())["measured"]
        assert measured["deps_lock_enforced"] is False
        assert measured["write_confinement"] is False
        assert not open_session.supports("deps_lock_enforced")


@pytest.mark.needs("landlock")
async def test_confined_code_writes_in_its_own_folders_only(locked: Session, tmp_path: Path) -> None:
    probe = """
import os, tempfile
def can_write(path):
    try: open(path, "w").close(); return True
    except OSError: return False
open("here.txt", "w").close()
tempfile.NamedTemporaryFile().close()
[can_write(p) for p in targets]
"""
    home = Path.home()
    targets = [str(tmp_path / "x"), str(home / "pcm-planted"), "/tmp/pcm-planted", "/etc/pcm-planted"]
    assert (await locked.run(probe, variables={"targets": targets})).value == [False] * 4
    assert not (home / "pcm-planted").exists()


@pytest.mark.needs("landlock")
async def test_confined_code_cannot_signal_its_host(locked: Session) -> None:
    result = await locked.run("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)")
    assert result.exception is not None
    assert result.exception.name == "PermissionError"


@pytest.mark.needs("landlock")
async def test_confined_code_can_use_pools_and_locks(locked: Session) -> None:
    """The confinement leaves what ordinary programs need."""
    code = """
import concurrent.futures, multiprocessing, math
with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    roots = list(pool.map(math.sqrt, [4, 9]))
roots
"""
    assert (await locked.run(code)).value == [2.0, 3.0]


@pytest.mark.needs("network")
async def test_a_package_of_one_session_is_not_in_the_next(venv: Callable[..., Any]) -> None:
    find = "import importlib.util; importlib.util.find_spec('toolz') is not None"
    async with venv() as first:
        change = await first.add_dep("toolz")
        assert change.installed == ("toolz",)
        assert (await first.run("import toolz; toolz.first([7])")).value == 7
        async with venv() as beside:
            assert (await beside.run(find)).value is False
    async with venv() as second:
        assert (await second.run(find)).value is False
        assert (await second.sync_deps()).installed == ("toolz",)


@pytest.mark.needs("network")
async def test_code_can_install_with_deps_and_with_pip(venv: Callable[..., Any]) -> None:
    async with venv() as session:
        await session.run("deps.add('toolz')")
        assert (await session.run("import toolz; toolz.__name__")).value == "toolz"
        await session.run("%pip install --quiet six")
        assert (await session.run("import six; six.__name__")).value == "six"
        assert (await session.run("deps.remove('toolz').removed")).value == ("toolz",)
        assert (await session.run("deps.list()")).value == []


@pytest.mark.needs("network")
async def test_changing_an_installed_file_does_not_reach_the_next_session(venv: Callable[..., Any]) -> None:
    """Files are copied, not linked, so the installer's cache stays as it was."""
    plant = """
import pathlib, toolz
file = pathlib.Path(toolz.__file__)
file.chmod(0o666)
file.write_text(file.read_text() + "\\nPLANTED = 1\\n")
"""
    for code in (plant, "import toolz; hasattr(toolz, 'PLANTED')"):
        async with venv() as session:
            await session.add_dep("toolz")
            result = await session.run(code)
            assert result.is_ok, result.error
    assert result.value is False


async def test_a_changed_base_is_not_used_again(
    venv: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code of the same user can change the shared base where it is not confined: then it is discarded."""
    # A cache of its own: other tests use the shared one at the same time.
    monkeypatch.setattr("py_code_mode_jupyter.execution.subprocess.cache_folder", lambda: tmp_path / "cache")
    plant = (
        "import comm, pathlib\np = pathlib.Path(comm.__file__)\nfor q in (p, p.parent): q.chmod(0o777)\n"
        "p.write_text(p.read_text() + '\\nPLANTED = 1\\n')\nstr(p)"
    )
    async with venv() as session:
        planted = await session.run(plant)
        assert planted.is_ok, planted.error
    assert not Path(planted.value).exists()
    async with venv() as session:
        assert (await session.run("import comm; hasattr(comm, 'PLANTED')")).value is False


async def test_modes_alone_do_not_take_the_base_from_other_sessions(venv: Callable[..., Any]) -> None:
    """Even confined code can set them; a base that is removed is missed by whoever imports from it later."""
    code = (
        "import comm, pathlib\nfolder = pathlib.Path(comm.__file__).parent\nfolder.chmod(0o777)\nstr(folder)"
    )
    async with venv() as other:
        async with venv() as session:
            opened = await session.run(code)
            assert opened.is_ok, opened.error
        assert (await other.run("import pexpect")).is_ok
        assert Path(opened.value).stat().st_mode & 0o222 == 0
