"""The error of settings that do not fit."""

from __future__ import annotations

from handful.runtime.errors import HandfulError


class ConfigError(HandfulError):
    """A setting that a learner, a network or a run does not allow."""
