"""What is raised for a checkpoint that cannot be read, or not be written as asked."""

from __future__ import annotations

__all__ = ["CheckpointError"]


class CheckpointError(ValueError):
    """A file, or a weight in it, is not what its format says; the message names what and why."""
