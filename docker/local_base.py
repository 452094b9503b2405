r"""Makes a base image from this machine's own Python, for where no image can be pulled.

::

    python docker/local_base.py
    docker build -t py-code-mode:base -f docker/Dockerfile.base \
        --build-arg BASE_IMAGE=py-code-mode:local-base .

It holds the interpreter that runs this script with its standard library and pip, a shell and some
of the usual programs, and the shared libraries they need. The wheels of docker/requirements*.txt go
to docker/build-extra/wheels, so that building needs no network either. Linux only.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import docker

TAG = "py-code-mode:local-base"
HERE = Path(__file__).parent
WHEELS = HERE / "build-extra" / "wheels"
PROGRAMS = (
    *("sh", "bash", "env", "cat", "cp", "mv", "rm", "ln", "ls", "mkdir", "chmod", "head", "tail", "wc"),
    *("grep", "sed", "sort", "seq", "sleep", "true", "false", "echo", "kill", "ps", "mount", "unshare"),
    *("dd", "df", "id", "uname", "setsid", "ulimit", "find", "xargs", "tr", "cut", "date", "touch", "stat"),
)
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
LEFT_OUT = frozenset({"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip"})
FOR_WHEELS = (
    *("libgcc_s.so.1", "libstdc++.so.6", "librt.so.1", "libdl.so.2", "libpthread.so.0", "libutil.so.1"),
    *("libm.so.6", "libz.so.1", "libatomic.so.1", "libgomp.so.1"),
)
"""Libraries that compiled packages may rely on (PEP 600), whether Python itself needs them or not."""
LIBRARY = re.compile(r"(/\S+) \(0x")


def main() -> None:
    """Make the image, and download the wheels."""
    parser = argparse.ArgumentParser(description="Make a base image from this machine's own Python.")
    parser.add_argument("--tag", default=TAG, help=f"name of the image (default: {TAG})")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-image", action="store_true", help="download no wheels")
    only.add_argument("--only-wheels", action="store_true", help="make no image")
    options = parser.parse_args()
    if not options.only_image:
        download_wheels()
    if not options.only_wheels:
        make_image(options.tag)


def download_wheels() -> None:
    """Download the wheels that building needs; the folder is there once it holds them all."""
    requirements = [f"--requirement={path}" for path in sorted(HERE.glob("requirements*.txt"))]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", *requirements]
    part = WHEELS.with_name("wheels.part")
    part.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, f"--dest={part}"], check=True)
    shutil.rmtree(WHEELS, ignore_errors=True)
    part.rename(WHEELS)


def make_image(tag: str) -> None:
    """Import the files as one layer."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as layer:
        _pack(layer)
    repository, _, version = tag.partition(":")
    client = docker.from_env()
    client.api.import_image_from_data(
        packed.getvalue(),
        repository=repository,
        tag=version or "latest",
        changes=["ENV PATH=/usr/local/bin:/usr/bin:/bin", "CMD python3"],
    )
    print(f"Made {tag}, {len(packed.getvalue()) / 2**20:.0f} MiB.")


def _pack(layer: tarfile.TarFile) -> None:
    for folder in ("tmp", "proc", "sys", "dev", "root", "usr/bin", "etc"):
        _add_bytes(layer, folder, None, 0o1777 if folder == "tmp" else 0o755)
    for name, text in FILES.items():
        _add_bytes(layer, name, text.encode())
    programs = {name: Path(path) for name in PROGRAMS if (path := shutil.which(name))}
    python = Path(sys.executable).resolve()
    modules = sorted(_modules())
    native = [path for path, _ in modules if path.suffix == ".so"]
    for library in sorted(_libraries([python, *programs.values(), *native])):
        layer.add(library.resolve(), arcname=str(library).lstrip("/"))
    for name, path in programs.items():
        layer.add(path.resolve(), arcname=f"bin/{name}")
    _link(layer, "usr/bin/env", "/bin/env")
    _add_python(layer, python, modules)


def _add_python(layer: tarfile.TarFile, python: Path, modules: list[tuple[Path, str]]) -> None:
    name = f"python3.{sys.version_info.minor}"
    layer.add(python, arcname=f"usr/local/bin/{name}")
    for alias in ("python3", "python"):
        _link(layer, f"usr/local/bin/{alias}", name)
    for path, inside in modules:
        layer.add(path, arcname=f"usr/local/lib/{name}/{inside}")


def _modules() -> Iterator[tuple[Path, str]]:
    """Yield the files of the standard library and of pip, and where they go below it."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    yield from _files(stdlib, "", LEFT_OUT | {"site-packages", "dist-packages"})
    found = importlib.util.find_spec("pip")
    if found is None or found.origin is None:
        sys.exit("This Python has no pip: run the script with one that has.")
    yield from _files(Path(found.origin).parent, "site-packages/pip/", frozenset({"__pycache__"}))


def _files(folder: Path, inside: str, left_out: frozenset[str]) -> Iterator[tuple[Path, str]]:
    for top, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if one not in left_out]
        for name in names:
            path = Path(top, name)
            if path.suffix != ".a":
                yield path, f"{inside}{path.relative_to(folder)}"


def _libraries(binaries: Iterable[Path]) -> set[Path]:
    """Return what the dynamic linker loads for the binaries, itself included."""
    # One call: it prints a block for each, and a hundred calls would take a second.
    command = ["/usr/bin/ldd", *map(str, binaries)]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {Path(match) for match in LIBRARY.findall(listing)}
    folders = {path.parent for path in found}
    return found | {folder / name for folder in folders for name in FOR_WHEELS if (folder / name).exists()}


def _add_bytes(layer: tarfile.TarFile, name: str, data: bytes | None, mode: int = 0o644) -> None:
    about = tarfile.TarInfo(name)
    about.mode = mode
    if data is None:
        about.type = tarfile.DIRTYPE
        layer.addfile(about)
        return
    about.size = len(data)
    layer.addfile(about, io.BytesIO(data))


def _link(layer: tarfile.TarFile, name: str, target: str) -> None:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = tarfile.SYMTYPE, target
    layer.addfile(about)


if __name__ == "__main__":
    main()
