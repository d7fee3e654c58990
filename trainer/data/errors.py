"""What can be wrong with data, named exactly."""

from handful.runtime.errors import HandfulError


class DataError(HandfulError):
    """A data set is missing, unreadable, or has not what was asked of it."""
