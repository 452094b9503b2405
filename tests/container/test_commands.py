"""``jupyter pcm``: building, listing and checking images, finding what is wrong, removing what is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from py_code_mode_jupyter import __version__, owner
from py_code_mode_jupyter.cli import main
from py_code_mode_jupyter.environments.container import images as container_images
from py_code_mode_jupyter.environments.container.engine import OWNER
from py_code_mode_jupyter.errors import ImageError
from py_code_mode_jupyter.sandbox import identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from py_code_mode_jupyter.environments.container.engine import Engine

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]
TRIAL = "py-code-mode:trial"
NOWHERE = ["--docker-host", "unix:///nowhere/docker.sock"]


@pytest.fixture
def trial(engine: Engine) -> Iterator[str]:
    yield TRIAL
    if engine.has_image(TRIAL):
        engine.client.remove_image(TRIAL, force=True)


def test_jupyter_knows_the_command() -> None:
    command = [sys.executable, "-m", "jupyter", "pcm", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == __version__


def test_the_two_commands_of_the_specification_build_both_images(
    engine: Engine, trial: str, base_image: str, images: None
) -> None:
    """After `images`, of whose layers the engine's builder makes use."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("the engine's own command is not installed")
    for file, tag, more in (
        ("base", trial, [f"--build-arg=BASE_IMAGE={base_image}"]),
        ("tools", f"{trial}-tools", [f"--build-arg=BASE_IMAGE={trial}"]),
    ):
        command = [docker, "build", "-t", tag, "-f", f"docker/Dockerfile.{file}", *more, "."]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=110)
        labels = engine.image(tag)["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == __version__
        assert container_images.content_of(engine, tag, labels) == identity.content()
    engine.client.remove_image(f"{trial}-tools", force=True)


def test_an_image_holds_compiled_code_and_no_secret_of_the_build(engine: Engine) -> None:
    code = (
        "import ipykernel, os, pathlib, sysconfig;"
        "print(len(list(pathlib.Path(sysconfig.get_path('purelib')).rglob('*.pyc'))) > 500,"
        " len(list(pathlib.Path(sysconfig.get_path('stdlib')).rglob('*.pyc'))) > 500,"
        " os.path.exists('/build'), [n for n in os.environ if 'PIP' in n or 'CERT' in n])"
    )
    made = engine.client.create_container("py-code-mode:base", entrypoint=["python3", "-c", code])
    engine.client.start(made["Id"])
    engine.client.wait(made["Id"])
    said = engine.client.logs(made["Id"]).decode().strip()
    engine.remove(made["Id"])
    assert said == "True True False []"


def test_images_are_built_listed_and_checked(
    engine: Engine, trial: str, base_image: str, capsys: Capture
) -> None:
    assert main(["image", "build", "--tag", trial, "--base-image", base_image]) == 0
    assert f"Built {trial}." in capsys.readouterr().out
    assert engine.image(trial)["Config"]["Labels"][container_images.CONTENT] == identity.content()
    assert main(["image", "check", trial]) == 0
    assert f"{trial} fits" in capsys.readouterr().out
    assert main(["image", "list"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{trial} ")]
    assert line.endswith("fits")


def test_an_image_of_other_code_is_named_in_a_clear_error(
    engine: Engine, trial: str, capsys: Capture
) -> None:
    made = engine.client.create_container("py-code-mode:base", entrypoint=["none"])
    changed = [f'LABEL {container_images.CONTENT}="other"']
    engine.client.commit(made["Id"], repository=trial.split(":")[0], tag=trial.split(":")[1], changes=changed)
    engine.remove(made["Id"])
    with pytest.raises(ImageError, match=f"{trial} was made from other code"):
        container_images.check_image(engine, trial)
    assert main(["image", "check", trial]) == 1
    assert "jupyter pcm image build" in capsys.readouterr().err


def test_an_image_that_is_missing_says_how_to_build_it(engine: Engine, capsys: Capture) -> None:
    assert main(["image", "check", "py-code-mode:nowhere"]) == 1
    assert "jupyter pcm image build --tag py-code-mode:nowhere makes it." in capsys.readouterr().err


def test_the_files_that_an_installed_wheel_builds_from_are_those_of_the_checkout() -> None:
    assert container_images.docker_folder() == ROOT / "docker"
    names = {path.name for path in (ROOT / "docker").iterdir() if path.is_file()}
    import hatch_build

    assert names == {*hatch_build.DOCKER_FILES}


def test_every_container_holds_what_every_environment_holds() -> None:
    from packaging.requirements import Requirement

    from py_code_mode_jupyter.environments.venv.base import PACKAGES

    lines = (ROOT / "docker" / "requirements.txt").read_text().splitlines()
    named = {Requirement(line).name for line in lines if line and not line.startswith("#")}
    assert named == {*PACKAGES}


@pytest.mark.usefixtures("engine")
def test_a_tag_that_is_none_is_said(capsys: Capture) -> None:
    assert main(["image", "build", "--tag", "BAD TAG"]) == 1
    assert "No image can have the name 'BAD TAG'. Give one such as" in capsys.readouterr().err


def test_layers_with_packages_are_removed_where_that_is_wished(
    engine: Engine, capsys: Capture, tmp_path: Path
) -> None:
    # Of an image of our own: that of a layer which other tests have just made would go as well.
    name = container_images.layer_name(tmp_path.name, ("tiny",), None)
    container_images.add_layer(engine, engine.image("py-code-mode:base")["Id"], tmp_path, name)
    others = [one for one in container_images.layers(engine) if one != name]
    made = [engine.client.create_container(one, entrypoint=["none"])["Id"] for one in others]
    try:
        assert main(["reap"]) == 0
        assert engine.has_image(name)
        capsys.readouterr()
        assert main(["reap", "--layers"]) == 0
        assert capsys.readouterr().out == f"removed image {name}\n"
        assert not engine.has_image(name)
        assert main(["reap", "--layers"]) == 0
        assert capsys.readouterr().out == "Nothing was left over.\n"
    finally:
        for number in made:
            engine.remove(number)


def test_the_doctor_finds_everything_well(engine: Engine, capsys: Capture) -> None:
    assert main(["doctor"]) == 0, capsys.readouterr().out
    text = capsys.readouterr().out
    for name in (
        "installer uv",
        "kernel pcm-container",
        "container engine",
        "limits",
        "image py-code-mode:base",
    ):
        assert f"ok       {name}" in text


def test_the_doctor_names_what_is_wrong_and_the_remedy(capsys: Capture) -> None:
    assert main(["doctor", *NOWHERE]) == 1
    text = capsys.readouterr().out
    assert "PROBLEM  container engine: No container engine answers" in text
    assert "systemctl start docker" in text


@pytest.mark.parametrize("command", [["reap"], ["image", "list"], ["image", "build"], ["image", "check"]])
def test_without_an_engine_each_command_says_so(command: list[str], capsys: Capture) -> None:
    assert main([*command, *NOWHERE]) == 1
    assert "No container engine answers" in capsys.readouterr().err


def test_reaping_removes_what_ended_makers_left_and_nothing_else(engine: Engine, capsys: Capture) -> None:
    machine = owner.owner().split(":")[0]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    labels = {
        "ended": f"{machine}:{ended.pid}:1.00",
        "alive": owner.owner(),
        "another start": f"{machine}:{os.getpid()}:1.00",
        "another machine": f"elsewhere:{ended.pid}:1.00",
        "nonsense": "x",
    }
    made = {
        name: engine.client.create_container("py-code-mode:base", labels={OWNER: label})["Id"]
        for name, label in labels.items()
    }
    try:
        assert main(["reap"]) == 0
        left = {name for name, number in made.items() if engine.inspect(number) is not None}
        assert left == {"alive", "another machine", "nonsense"}
        assert capsys.readouterr().out.count("removed container") == 2
    finally:
        for number in made.values():
            engine.remove(number)
