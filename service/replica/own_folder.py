"""Folders and files among those of others, in the temporary folder: only what is our own is used.

Whoever came first could have made a folder of the name we want, put links or pipes into it, or
written what we are to read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from pathlib import Path

_log = logging.getLogger(__name__)


def own_folder(*below: str) -> Path | None:
    """`rewardplane-<user id>/…` in the temporary folder, made where it is not there.

    None: it cannot be made, or one of the folders could have been made by others or lets them in.
    """
    path = Path(tempfile.gettempdir())
    for name in (f"rewardplane-{os.geteuid()}", *below):
        path /= name
        try:
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            status = path.lstat()
        except OSError as error:
            _log.warning("%s cannot be used: %s", path, error)
            return None
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            _log.warning("%s is not used: it belongs to somebody else", path)
            return None
        if status.st_mode & 0o077:
            _log.warning("%s is not used: others may enter it", path)
            return None
    return path


def write_own(path: Path, text: str) -> None:
    """Replaces a file, all at once, and follows no link.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with open(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - of a descriptor
        file.write(text)
    draft.replace(path)


def read_own(path: Path, max_bytes: int = 2**20) -> str:
    """The text of a file that this user wrote.

    Raises:
        OSError: it is missing, somebody else's, a link or no file.
        ValueError: it is no text.
    """
    # Without O_NONBLOCK a pipe in its place would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{path} is no file of this user")
        return file.read(max_bytes).decode()
