"""Answers with a file that a run before it left in their scratch."""

from __future__ import annotations

from pathlib import Path

from .channel import Channel


def main(request: bytes, channel: Channel) -> None:
    """`request`: its name."""
    channel.send(Path(request.decode()).read_bytes())
