"""Images: checking that one holds our code, building them, and adding packages as a layer. It blocks."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import py_code_mode_jupyter

from ...errors import EngineError, ImageError
from ...owner import owner
from ...sandbox import identity
from ..reporting import report
from .engine import NAME, OWNER, TITLE, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..uv import Outcome

CONTENT = f"{NAME}.content"
VERSION = "org.opencontainers.image.version"
BASE, TOOLS = "py-code-mode:base", "py-code-mode:tools"
_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_LAYER = "py-code-mode:deps-"
_SITE = "/deps"
_STAMP = "/opt/py_code_mode_jupyter/content"
_PACKAGE = Path(py_code_mode_jupyter.__file__).parent
_LEFT_OUT = {"__pycache__", "labextension"}
_BUILD = "Build it again: jupyter pcm image build."
_A_NAME = "Give one such as py-code-mode:mine."
_BEHIND_A_PROXY = (
    "Behind a proxy, or without a network, put ca.crt, pip.conf or a folder wheels into docker/build-extra "
    "of a checkout, and build there."
)


def check_image(engine: Engine, name: str) -> dict[str, Any]:
    """Return what the engine knows of an image, once it is clear that it may hold our code.

    Raises
    ------
    ImageError
        It is not there, not one of ours, or was made from other code.
    """
    about = engine.image(name)
    labels = about["Config"].get("Labels") or {}
    if VERSION not in labels or labels.get(TITLE) != "py_code_mode_jupyter":
        raise ImageError(name, f"The image {name} is not one of py_code_mode_jupyter's.", remedy=_BUILD)
    check_content(name, labels.get(CONTENT, identity.content()), labels[VERSION])
    return about


def content_of(engine: Engine, image: str, labels: dict[str, str]) -> str:
    """Return the hash of an image's code: from its label, or where that is missing from its files."""
    if CONTENT in labels:
        return labels[CONTENT]
    with engine.told():
        made = engine.client.create_container(image, entrypoint=["none"], labels={OWNER: owner()})
    try:
        with engine.told():
            stream, _ = engine.client.get_archive(made["Id"], _STAMP)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            return file.read(100).decode() if file is not None else ""
    finally:
        engine.remove(made["Id"])


def check_content(name: str, content: str, version: str = "") -> None:
    """Raise `ImageError` unless `content`, the hash of an image's code, is that of our own."""
    if content != identity.content():
        made_from = f" ({version})" if version else ""
        raise ImageError(
            name,
            f"The image {name} was made from other code{made_from} than the py_code_mode_jupyter "
            f"{py_code_mode_jupyter.__version__} that runs here.",
            remedy=_BUILD,
        )


def list_images(engine: Engine) -> list[tuple[str, str, int, bool]]:
    """Return name, version and size (bytes) of each image of ours, and whether its code is our own."""
    found = []
    for about in engine.images():
        labels = about.get("Labels") or {}
        names = [name for name in about.get("RepoTags") or () if not name.startswith("<none>")]
        fits = bool(names) and content_of(engine, about["Id"], labels) == identity.content()
        found += [(name, labels.get(VERSION, "?"), about["Size"], fits) for name in names]
    return sorted(found)


# Building


def docker_folder() -> Path:
    """Return the folder with the Dockerfiles: in the package, or in the checkout it is used from."""
    inside = _PACKAGE / "docker"
    return inside if inside.is_dir() else _PACKAGE.parent / "docker"


def build(
    engine: Engine,
    kind: str,
    *,
    tag: str | None = None,
    base: str | None = None,
    say: Callable[[str], object],
) -> str:
    """Build the image ``base`` or ``tools`` and return its name.

    Parameters
    ----------
    tag
        Its name; None: the usual one.
    base
        The image to begin with; None: the Dockerfile's.
    say
        Takes each line that the engine prints.

    Raises
    ------
    EngineError
        It could not be built. What the engine keeps of the steps that went well is its cache.
    ImageError
        `tag` is no name; the tools image is to be built on a base image that is missing, or was made
        from other code.
    """
    from docker.utils import match_tag

    name = tag or {"base": BASE, "tools": TOOLS}[kind]
    if not match_tag(name):
        raise ImageError(name, f"No image can have the name {name!r}.", remedy=_A_NAME)
    if kind == "tools":  # it holds the code of what it begins with
        labels = check_image(engine, base or BASE)["Config"]["Labels"]
        check_content(base or BASE, content_of(engine, base or BASE, labels))
    with tempfile.TemporaryFile() as context:
        _pack_context(context)
        context.seek(0)
        with engine.told():
            lines = engine.client.build(
                fileobj=context,
                custom_context=True,
                dockerfile=f"docker/Dockerfile.{kind}",
                tag=name,
                buildargs={"BASE_IMAGE": base} if base else {},
                labels={CONTENT: identity.content()},
                rm=True,
                forcerm=True,
                decode=True,
            )
        for line in lines:
            if "error" in line:
                raise EngineError(
                    f"The image {name} could not be built: {line['error'].strip()}",
                    remedy=f"What was printed before says why. {_BEHIND_A_PROXY}",
                )
            said = str(line.get("stream", "")).rstrip()
            _report(said)
            say(said)
    return name


def _report(said: str) -> None:
    """Tell who listens which step of building begins: the engine counts them."""
    step = _STEP.match(said)
    if step is not None:
        report(step[3].strip(), (int(step[1]) - 1) / max(1, int(step[2])))


def _pack_context(file: Any) -> None:
    with tarfile.open(fileobj=file, mode="w") as context:
        for path in sorted(docker_folder().rglob("*")):
            if path.is_file() and not _LEFT_OUT & {*path.parts}:
                context.add(path, arcname=f"docker/{path.relative_to(docker_folder())}")
        for path in sorted(_PACKAGE.rglob("*")):
            inside = path.relative_to(_PACKAGE)
            if path.is_file() and not _LEFT_OUT & {*inside.parts} and inside.parts[0] != "docker":
                context.add(path, arcname=f"{_PACKAGE.name}/{inside}")


# Packages


def install_for(
    target: Path,
    specs: Sequence[str],
    measured: dict[str, Any],
    *,
    wheelhouse: Path | None,
    constraints: dict[str, str],
    run: Callable[[Sequence[str | Path]], Outcome],
) -> Outcome:
    """Install packages into the folder `target` as the container needs them. Nothing is built.

    Parameters
    ----------
    measured
        What the container has said of its Python, machine and C library.
    wheelhouse
        Folder of wheels to take instead of an index.
    constraints
        Packages that the container has, with their versions: another version of one is not installed
        beside it unless it is asked for.
    run
        Runs uv with these arguments.
    """
    python, machine, libc = (str(measured[key]) for key in ("python", "machine", "libc"))
    options: list[str | Path] = ["--target", target, "--python-version", python, "--only-binary", ":all:"]
    options += ["--python-platform", f"{machine}-manylinux_{libc.replace('.', '_')}", "--link-mode", "copy"]
    if wheelhouse is not None:
        options += ["--no-index", "--find-links", wheelhouse]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in constraints.items())
        file.flush()
        return run(["pip", "install", "--quiet", *options, "--constraint", file.name, "--", *specs])


def pack(folder: Path) -> Iterator[bytes]:
    """Yield the archive of a folder in slices."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(folder, arcname=".", filter=_for_anybody)
        file.seek(0)
        while data := file.read(256 * 1024):
            yield data


def _for_anybody(about: tarfile.TarInfo) -> tarfile.TarInfo:
    about.uid = about.gid = 0
    about.uname = about.gname = "root"
    about.mode |= 0o444 | (0o111 if about.isdir() else 0)
    return about


def layer_name(image: str, specs: Sequence[str], wheelhouse: Path | None) -> str:
    """Return the name of an image with packages added: the same for the same image and packages."""
    wheels = sorted(path.name for path in wheelhouse.iterdir()) if wheelhouse is not None else []
    key = hashlib.sha256("\0".join([image, *sorted(specs), "", *wheels]).encode()).hexdigest()[:16]
    return f"{_LAYER}{key}"


def add_layer(engine: Engine, image: str, folder: Path, name: str) -> None:
    """Make the image `name`: `image` with the packages in `folder`."""
    archive = io.BytesIO(b"".join(pack(folder)))
    with engine.told():
        made = engine.client.create_container(image, entrypoint=["none"], labels={OWNER: owner()})
    try:
        repository, _, tag = name.partition(":")
        before = engine.image(image)["Config"]
        kept = [f"ENTRYPOINT {_json(before['Entrypoint'])}", f'LABEL {OWNER}=""']
        with engine.told():
            engine.client.put_archive(made["Id"], _SITE, archive)
            engine.client.commit(made["Id"], repository=repository, tag=tag, changes=kept)
    finally:
        engine.remove(made["Id"])


def remove_layers(engine: Engine) -> list[str]:
    """Remove the images with packages added that no container uses, and return their names."""
    return [name for name in layers(engine) if engine.remove_image(name)]


def layers(engine: Engine) -> list[str]:
    """Return the names of all images with packages added."""
    names = [name for about in engine.images() for name in about.get("RepoTags") or ()]
    return sorted(name for name in names if name.startswith(_LAYER))


def _json(items: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"
