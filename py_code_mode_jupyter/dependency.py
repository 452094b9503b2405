"""A dependency as text: a package's name with version specifiers, and nothing that leads elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from .errors import InvalidDependencyError

MAX_SPEC = 256
"""Characters of one dependency."""
_REMEDY = 'Give a name with version specifiers, such as "pandas" or "pandas[parquet]>=2.2,<4".'


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """A package as `parse_dependency` understood it; ``str()`` gives it back in its usual form.

    Attributes
    ----------
    name
        The canonical name: lower case, with hyphens.
    extras
        Names of optional parts, canonical and sorted.
    specifier
        Version specifiers, sorted and with commas; empty if any version will do.
    """

    name: str
    extras: tuple[str, ...] = ()
    specifier: str = ""

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"

    def admits(self, version: str) -> bool:
        """Return whether this version of the package will do."""
        return SpecifierSet(self.specifier).contains(version, prereleases=True)


def parse_dependency(spec: str) -> Dependency:
    """Return what `spec` names: a package, its extras, and version specifiers.

    Raises
    ------
    InvalidDependencyError
        It is anything else: an address, a path, an option, has a marker or several lines.
    """
    if not isinstance(spec, str) or len(spec) > MAX_SPEC or not (spec.isascii() and spec.isprintable()):
        shown = str(spec)[:MAX_SPEC]
        problem = f"{shown!r} is not one line of at most {MAX_SPEC} ASCII characters."
        raise InvalidDependencyError(shown, problem, remedy=_REMEDY)
    try:
        requirement = Requirement(spec)
        name, *extras = (_canonical(one) for one in (requirement.name, *sorted(requirement.extras)))
    except (InvalidRequirement, InvalidName) as error:
        raise InvalidDependencyError(spec, f"{spec!r} is not a dependency.", remedy=_REMEDY) from error
    if problem := _problem(requirement):
        raise InvalidDependencyError(spec, f"{spec!r} has {problem}.", remedy=_REMEDY)
    return Dependency(name=name, extras=tuple(sorted(extras)), specifier=str(requirement.specifier))


def _canonical(name: str) -> str:
    # The parser takes "a_" for a name, which is none (PyPA's "names and normalization").
    return canonicalize_name(name, validate=True)


def _problem(requirement: Requirement) -> str:
    if requirement.url is not None:
        return "an address, which is not allowed"
    if requirement.marker is not None:
        return "a marker, which is not allowed"
    # "===" takes any text for a version, and none of it is checked.
    if any(item.operator == "===" for item in requirement.specifier):
        return "the specifier ===, which is not allowed"
    return ""
