"""Which files confined code may open, by Landlock, as far as the kernel's version of it goes.

Source: include/uapi/linux/landlock.h and Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .kernel import Prepared, call

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1
_FILE_RIGHTS = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 5: 1 << 16}
"""By ABI: all rights below this bit are known to it (REFER since 2, TRUNCATE 3, IOCTL_DEV 5)."""
_NET_SINCE, _SCOPES_SINCE = 4, 6
_NET_RIGHTS = 1 | 2  # bind and connect TCP
_SCOPES = 1 | 2  # abstract unix sockets, signals
_ONLY_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15


def version() -> int:
    """The kernel's Landlock ABI, from 1 on.

    Raises:
        OSError: it has none, or it is switched off (lsm=).
    """
    return call("landlock_create_ruleset", 0, 0, _CREATE_VERSION)


def ruleset(
    abi: int,
    files: Iterable[str],
    listings: Iterable[str] = (),
    writable: Iterable[str] = (),
    devices: Iterable[str] = (),
    executable: Iterable[str] = (),
) -> int:
    """The descriptor of rules: nothing but these may be opened; no TCP, no signal to outside.

    `files` are read, with all that is below them; of `listings` the names are read; `writable` are
    folders to do anything in but run programs; `devices` are files to read and write;
    `executable` are programs to read and run.

    Raises:
        OSError: as it failed.
    """
    known = _FILE_RIGHTS[max(k for k in _FILE_RIGHTS if k <= abi)] - 1
    net = _NET_RIGHTS if abi >= _NET_SINCE else 0
    scopes = _SCOPES if abi >= _SCOPES_SINCE else 0
    attributes = struct.pack("<QQQ", known, net, scopes)
    if abi < _NET_SINCE:
        attributes = attributes[:8]
    elif abi < _SCOPES_SINCE:
        attributes = attributes[:16]
    rules = call("landlock_create_ruleset", ctypes.c_char_p(attributes), len(attributes), 0)
    for path in files:
        _allow(rules, path, _READ_FILE | _READ_DIR)
    for path in listings:
        _allow(rules, path, _READ_DIR)
    for path in writable:
        _allow(rules, path, known & ~_EXECUTE)
    for path in devices:
        _allow(rules, path, _READ_FILE | _WRITE_FILE)
    for path in executable:
        _allow(rules, path, _READ_FILE | _EXECUTE)
    return rules


def restrict(rules: int) -> Prepared:
    """To hold this process to rules; needs no_new_privs."""
    return Prepared("landlock_restrict_self", rules, 0)


def _allow(rules: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ONLY_FILES
        rule = struct.pack("<Qi", rights, descriptor)
        call("landlock_add_rule", rules, _RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)
