"""Runs the request as a Python program, with `channel` among its names: the bare minimum."""

from __future__ import annotations

from .channel import Channel


def main(request: bytes, channel: Channel) -> None:
    """`request`: source text. What it raises ends the child with exit code 1."""
    names = {"__name__": "__main__", "channel": channel}
    exec(compile(request, "<program>", "exec"), names)  # noqa: S102 - this is what it is for
