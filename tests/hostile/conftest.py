"""The small packages of the runtime's tests, to spoil."""

from ..runtime.conftest import packages

__all__ = ["packages"]
