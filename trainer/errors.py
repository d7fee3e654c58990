"""Errors of settings that do not fit and of learners that cannot be exported."""

from __future__ import annotations

from handful.runtime.errors import HandfulError


class ConfigError(HandfulError):
    """A setting that a learner, a network or a run does not allow."""


class ExportError(HandfulError):
    """A learner cannot be exported as asked."""
