"""``jupyter pcm``: images, leftovers, and what is wrong with an installation."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence

from . import __version__
from .errors import CodeModeError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 1 if something is wrong."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except CodeModeError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter pcm", description="Look after the places where py_code_mode_jupyter runs code."
    )
    parser.add_argument("--version", action="version", version=__version__)
    engine = argparse.ArgumentParser(add_help=False)
    engine.add_argument("--docker-host", help="address of the container engine (default: the usual one)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "doctor", _doctor, "say what works here, what does not, and how to mend it", engine)
    reap = _add(commands, "reap", _reap, "remove containers and folders whose makers have ended", engine)
    reap.add_argument("--network", action="store_true", help="and the network, if nothing uses it")
    reap.add_argument(
        "--layers", action="store_true", help="and the images with packages added, if nothing uses them"
    )
    image = commands.add_parser("image", help="build, list and check the images of the container")
    images = image.add_subparsers(required=True, metavar="ACTION")
    build = _add(images, "build", _build, "build an image", engine)
    build.add_argument(
        "kind", nargs="?", choices=("base", "tools"), default="base", help="which (default: base)"
    )
    build.add_argument("--tag", help="name to give it (default: py-code-mode:base or :tools)")
    build.add_argument("--base-image", help="image to begin with (default: what the Dockerfile says)")
    _add(images, "list", _list, "list the images, and whether they fit this version", engine)
    check = _add(images, "check", _check, "check whether an image fits this version", engine)
    check.add_argument("name", nargs="?", default="py-code-mode:base", help="default: py-code-mode:base")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Command,
    what: str,
    parent: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", parents=[parent]
    )
    parser.set_defaults(command=command)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from .diagnostics import examine

    is_well = True
    for found in examine(options.docker_host):
        is_well &= found.is_good
        print(f"{'ok     ' if found.is_good else 'PROBLEM'}  {found.name}: {found.detail}")
        if found.remedy:
            print(f"         {found.remedy}")
    return 0 if is_well else 1


def _reap(options: argparse.Namespace) -> int:
    import tempfile
    from pathlib import Path

    from .environments.container import images, reaper
    from .environments.container.engine import Engine
    from .environments.folder import sweep

    removed = [f"{folder}" for folder in sweep(Path(tempfile.gettempdir()))]
    try:
        with contextlib.closing(Engine(options.docker_host)) as engine:
            removed += [f"container {name}" for name in reaper.reap(engine)]
            if options.layers:
                removed += [f"image {name}" for name in images.remove_layers(engine)]
            if options.network and engine.remove_network():
                removed.append("the network, which nothing used")
    finally:
        for what in removed:
            print(f"removed {what}")
    if not removed:
        print("Nothing was left over.")
    return 0


def _build(options: argparse.Namespace) -> int:
    from .environments.container import images
    from .environments.container.engine import Engine

    engine = Engine(options.docker_host)
    try:
        name = images.build(
            engine,
            options.kind,
            tag=options.tag,
            base=options.base_image,
            say=lambda line: print(line) if line else None,
        )
    finally:
        engine.close()
    print(f"Built {name}.")
    return 0


def _list(options: argparse.Namespace) -> int:
    from .environments.container import images
    from .environments.container.engine import Engine

    engine = Engine(options.docker_host)
    try:
        found = images.list_images(engine)
    finally:
        engine.close()
    for name, version, size, fits in found:
        print(
            f"{name:<40} {version:<10} {size / 2**20:>6.0f} MiB  {'fits' if fits else 'made from other code'}"
        )
    if not found:
        print("There is no image yet: jupyter pcm image build.")
    return 0


def _check(options: argparse.Namespace) -> int:
    from .environments.container import images
    from .environments.container.engine import Engine

    engine = Engine(options.docker_host)
    try:
        about = images.check_image(engine, options.name)
        images.check_content(options.name, images.content_of(engine, options.name, about["Config"]["Labels"]))
    finally:
        engine.close()
    print(f"{options.name} fits py_code_mode_jupyter {__version__}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
