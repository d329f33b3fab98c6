"""Numbers of the system calls that the attacks make, for libc's `syscall`."""

from __future__ import annotations

import platform

from ..numbers import ALLOWED

# x86_64, aarch64 (None: it has none); from 424 on, one number for both. Source: the kernel's
# arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "getpid": (39, 172),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "kcmp": (312, 272),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "seccomp": (317, 277),
    "prctl": (157, 167),
    "ioctl": (16, 29),
    "execveat": (322, 281),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}


_COLUMNS = {"x86_64": 0, "aarch64": 1}


def of_this_machine() -> dict[str, int]:
    """Name to number; calls that this machine's architecture lacks are missing."""
    return _here(NUMBERS)


def allowed_here() -> list[int]:
    """The numbers that the sandbox lets through, some of them with some arguments only."""
    return sorted(_here(ALLOWED).values())


def _here(table: dict[str, tuple[int | None, int | None]]) -> dict[str, int]:
    column = _COLUMNS.get(platform.machine())
    if column is None:
        return {}
    return {name: n for name, pair in table.items() if (n := pair[column]) is not None}
