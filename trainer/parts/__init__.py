"""What several learners share."""

from .features import class_means, unit_length

__all__ = ["class_means", "unit_length"]
