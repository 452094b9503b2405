"""Names of artifacts: what is allowed, so that a storage folder works on every system."""

from __future__ import annotations

import re
import unicodedata

from ..errors import InvalidArtifactNameError

MAX_CHARACTERS = 128
MAX_BYTES = 200
"""File systems allow 255 bytes; some add a suffix of their own, encryption needs a part."""

_FORBIDDEN = frozenset('/\\:*?"<>|')
# Devices of Windows, which it finds in every folder and with every suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)


def artifact_name(name: object) -> str:
    """Return `name` in the form in which it is stored (Unicode NFC).

    Raises
    ------
    InvalidArtifactNameError
        It has path parts, forbidden characters or another fault; the message says which.
    """
    if not isinstance(name, str):
        raise InvalidArtifactNameError(repr(name), "it is not text")
    normal = unicodedata.normalize("NFC", name)
    if problem := _problem(normal):
        raise InvalidArtifactNameError(name, problem)
    return normal


def is_artifact_name(name: str) -> bool:
    """Whether an entry of the folder has a name that this module would have given it."""
    return _problem(name) == ""


def alike(name: str) -> str:
    """Return what `name` has in common with names that some file systems take for the same."""
    if name.isascii():
        return name.casefold()  # the usual case, and a new artifact is compared with all others
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def _problem(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > MAX_CHARACTERS:
        return f"it has {len(name)} characters, and {MAX_CHARACTERS} are allowed"
    if bad := _forbidden_in(name):
        return f"it holds {bad!r}"
    if name[0] in ".- " or name[-1] in ". ":
        return "it begins with a dot, a hyphen or a space, or ends with a dot or a space"
    if len(name.encode()) > MAX_BYTES:
        return f"it takes {len(name.encode())} bytes in UTF-8, and {MAX_BYTES} are allowed"
    return "Windows keeps this name for a device" if _RESERVED.fullmatch(name) else ""


def _forbidden_in(name: str) -> str:
    if name.isascii() and name.isprintable() and _FORBIDDEN.isdisjoint(name):
        return ""  # the usual case, and a listing judges a thousand names
    return next((c for c in name if c in _FORBIDDEN or _is_invisible(c)), "")


def _is_invisible(character: str) -> bool:
    """Whether it controls, orders or splits text, or is half a character: nobody could see it."""
    category = unicodedata.category(character)
    return category[0] == "C" or (category[0] == "Z" and character != " ")
