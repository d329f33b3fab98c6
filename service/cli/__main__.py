"""The command `rewardplane`. Without the `serve` extra it says what to install."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

DEBUG_ENV = "REWARDPLANE_DEBUG"


def main() -> None:
    """Runs the command line. What nobody foresaw is told in a line, its traceback in a file."""
    try:
        from .commands import app
    except ModuleNotFoundError as error:
        print(  # noqa: T201 - nothing prettier is installed then
            f"rewardplane: the command needs what a trainer does not ({error.name} is missing): "
            "pip install '.[serve]' in a clone of the repository, or 'rewardplane[serve]' from "
            "where the wheel is",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        sys.exit(130)
    except Exception as error:
        if os.environ.get(DEBUG_ENV):
            raise
        print(  # noqa: T201 - it may be the console that failed
            f"rewardplane: {type(error).__name__}: {error}\n"
            f"This is a fault of rewardplane itself; {_written(error)} has its traceback.",
            file=sys.stderr,
        )
        sys.exit(1)


def _written(error: Exception) -> str:
    """Writes a traceback; where to. A disk that is full is what may have failed."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="rewardplane-", suffix=".txt", delete=False
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        traceback.print_exception(error)
        return "the above"
    return file.name


if __name__ == "__main__":
    main()
