"""The command `rewardplane`. Without the `serve` extra it says what to install."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line."""
    try:
        from .commands import app
    except ModuleNotFoundError as error:
        print(  # noqa: T201 - nothing prettier is installed then
            f"rewardplane: the command needs what a trainer does not ({error.name} is missing): "
            "pip install 'rewardplane[serve]'",
            file=sys.stderr,
        )
        sys.exit(1)
    app()


if __name__ == "__main__":
    main()
