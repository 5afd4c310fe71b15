"""One family of errors.

Each message states the rule, the value that was found, and the remedy, so that it can be shown as it is to the
person at the screen. Every class is also the built-in error a Python programmer would expect to catch.
"""

from __future__ import annotations


class SeamlessError(Exception):
    """Anything this package refuses to do, with a message meant for the user."""


class AxesError(SeamlessError, ValueError):
    """Axes are unknown, repeated, missing, or do not fit the array or the model."""


class ChannelError(SeamlessError, ValueError):
    """The image's channels do not fit what the model was trained on, or a chosen channel does not exist."""


class EmptyImageError(SeamlessError, ValueError):
    """An axis has length zero: there is nothing to segment."""


class PixelTypeError(SeamlessError, TypeError):
    """Pixels are of a type that is no intensity."""


class NotFiniteError(SeamlessError, ValueError):
    """The image holds NaN or infinite values."""


class TileSizeError(SeamlessError, ValueError):
    """A tile size or a halo does not fit the network's pooling grid or the memory there is."""


class LevelError(SeamlessError, ValueError):
    """A pruning level that the network does not have."""


class DeviceError(SeamlessError, RuntimeError):
    """A device or a precision that this machine does not have."""


class OutOfMemoryError(SeamlessError, MemoryError):
    """Not even the smallest tile fits into the memory of any device."""


class ConfigError(SeamlessError, ValueError):
    """A network configuration that cannot be built."""


class FileReadError(SeamlessError, OSError):
    """A file that is missing, damaged, truncated, or of a kind that cannot be read."""


class FileWriteError(SeamlessError, OSError):
    """A file that cannot be written: wrong ending, no space left, no permission."""


class OutputExistsError(SeamlessError, FileExistsError):
    """The output exists already and may not be overwritten."""


class ModelError(SeamlessError, ValueError):
    """A model package that is unknown, damaged, altered, or written by a newer version."""


class DatasetError(SeamlessError, ValueError):
    """A training data set that cannot be used as it is."""


class TrainingError(SeamlessError, RuntimeError):
    """Training cannot start or cannot go on."""


class Cancelled(SeamlessError):
    """``should_stop`` answered True. What was finished until then has been kept where the message says."""


class WorkspaceError(SeamlessError, ValueError):
    """A workspace that is damaged, belongs to another image, was written by a newer version, or is read-only."""
