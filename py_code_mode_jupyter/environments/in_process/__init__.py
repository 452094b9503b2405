"""Running code in threads of the host's own process."""

from .environment import InProcessEnvironment

__all__ = ["InProcessEnvironment"]
