"""Code that calls what a grader never needs. Reaching the kernel is counted, whatever it answers.

The arguments are ones that do nothing: null pointers, descriptor -1, flags that are not there.
"""

from __future__ import annotations

from .case import ANY, Case

_MACHINE_CODE = """
import ctypes, mmap
if facts["machine"] == "x86_64":
    # mov eax, 20 (getpid of i386); int 0x80; ret
    code = b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3"
    try:
        page = mmap.mmap(-1, 4096, prot=7)
    except OSError:
        page = None
    if page is not None:
        page.write(code)
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        if call() > 0:
            breach("int 0x80")
"""

CASES = (
    Case(
        "namespaces",
        "unshare/setns/mount/pivot_root/chroot",
        """
import os
for flags in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x08000000, 0x80, 0x400, 0):
    reached("unshare", flags)
reached("setns", -1, 0)
try:
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    reached("setns", fd, 0)
except OSError:
    pass
for name in ("mount", "umount2", "pivot_root", "chroot", "fsopen", "move_mount", "open_tree"):
    reached(name, 0, 0, 0, 0, 0)
""",
    ),
    Case(
        "mount-in-userns",
        "unshare/setns/mount/pivot_root/chroot",
        """
import ctypes
if syscall("unshare", 0x10000000 | 0x20000)[0] == 0:
    breach("a user namespace")
    if syscall("mount", b"none", b"/", b"", 0x40000 | 0x4000, 0)[0] == 0:  # private: seen by none
        breach("and a mount in it")
""",
    ),
    Case(
        "ptrace",
        "ptrace",
        "reached('ptrace', 16, facts['victim'], 0, 0)\nreached('ptrace', 0, 0, 0, 0)",
    ),
    Case(
        "process-vm",
        "process_vm_*",
        """
for pid in (facts["victim"], facts["runner"], *facts["zygotes"]):
    reached("process_vm_readv", pid, 0, 0, 0, 0, 0)
    reached("process_vm_writev", pid, 0, 0, 0, 0, 0)
""",
    ),
    Case(
        "pidfd",
        "pidfd_open/getfd",
        """
import os
for pid in (facts["victim"], os.getpid()):
    reached("pidfd_open", pid, 0)
reached("pidfd_getfd", -1, 0, 0)
reached("pidfd_send_signal", -1, 0, 0, 0)
""",
    ),
    Case("bpf", "bpf", "reached('bpf', 0, 0, 0)\nreached('bpf', 5, 0, 0)"),
    Case("perf", "perf", "reached('perf_event_open', 0, 0, -1, -1, 0)"),
    Case("io-uring", "io_uring", "reached('io_uring_setup', 1, 0)"),
    Case(
        "userfaultfd", "userfaultfd", "reached('userfaultfd', 0x80800)\nreached('userfaultfd', 1)"
    ),
    Case(
        "keyctl",
        "keyctl",
        """
reached("keyctl", 0, -3, 0)
reached("keyctl", -1, 0, 0)
reached("add_key", 0, 0, 0, 0, 0)
reached("request_key", 0, 0, 0, 0)
""",
    ),
    Case(
        "by-handle",
        "open_by_handle_at",
        "reached('open_by_handle_at', -1, 0, 0)\nreached('name_to_handle_at', -1, 0, 0, 0, 0)",
    ),
    Case("kcmp", "kcmp", "import os\nreached('kcmp', os.getpid(), os.getpid(), 0, 0, 0)"),
    Case(
        "sched-fifo",
        "sched_* FIFO",
        """
import ctypes
reached("sched_setscheduler", 0, 1, ctypes.byref(ctypes.c_int(1)))
reached("sched_setscheduler", facts["victim"], 0, ctypes.byref(ctypes.c_int(0)))
reached("sched_setattr", 0, 0, 0)
""",
    ),
    Case(
        "setpriority",
        "setpriority",
        """
import os
for pid, nice in ((0, -10), (facts["victim"], 10)):
    if syscall("setpriority", 0, pid, nice)[0] == 0:
        breach(f"setpriority of {pid}")
""",
    ),
    Case(
        "tiocsti",
        "ioctl TIOCSTI",
        """
import ctypes
for fd in (0, 1, 2):
    reached("ioctl", fd, 0x5412, ctypes.byref(ctypes.c_char(b"x")))  # TIOCSTI
    reached("ioctl", fd, 0x541C, ctypes.byref(ctypes.c_char(3)))  # TIOCLINUX
""",
    ),
    Case(
        "x32",
        "x32/i386 syscall numbers (int 0x80)",
        """
if facts["machine"] == "x86_64":
    number = facts["numbers"]["getpid"]
    for bit in (0x40000000, 0x80000000):
        if raw_syscall(number | bit)[0] > 0:
            breach(f"getpid by number {number | bit:#x}")
""",
        ANY,
        bare=False,  # this kernel may be built without x32
    ),
    Case("int80", "x32/i386 syscall numbers (int 0x80)", _MACHINE_CODE, ANY),
    Case(
        "prctl",
        "prctl(PR_SET_SECCOMP/DUMPABLE)",
        """
reached("prctl", 22, 2, 0, 0, 0)  # PR_SET_SECCOMP, no filter
reached("seccomp", 1, 0, 0)
reached("prctl", 4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
reached("prctl", 0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER
reached("prctl", 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
reached("personality", 0x40000)  # ADDR_NO_RANDOMIZE
""",
    ),
    Case(
        "execveat",
        "memfd+execveat",
        """
import ctypes, os
try:
    fd = os.memfd_create("program", 0)
except OSError:
    fd = -1
if fd >= 0:
    script = "#!/bin/sh\\necho " + facts["breach_mark"] + "\\n"
    os.write(fd, script.encode())
    arguments = (ctypes.c_char_p * 2)(b"program", None)
    syscall("execveat", fd, b"", arguments, (ctypes.c_char_p * 1)(None), 0x1000)
    try:
        os.execve(fd, ["program"], {})
    except OSError:
        pass
reached("execveat", -1, 0, 0, 0, 0x1000)
""",
        ANY,
    ),
    Case(
        "root-only",
        "unshare/setns/mount/pivot_root/chroot",
        """
for name in ("kexec_load", "init_module", "reboot", "swapon", "acct", "quotactl", "fanotify_init"):
    if name != "acct":  # a null pointer would turn the host's accounting off
        reached(name, -1, -1, -1, -1, -1)
reached("syslog", 10, 0, 0)
""",
    ),
    Case(
        "every-number",
        "unshare/setns/mount/pivot_root/chroot",
        """
# All that is not in the table of what is allowed. -1 is an argument that does nothing; those that
# take none and do something even so are left out: fork, vfork, vhangup; and uretprobe and uprobe,
# which no filter sees, and which end with SIGILL whoever was not led to them by the kernel.
left_out = {"x86_64": {57, 58, 153, 335, 336}, "aarch64": {58}}.get(facts["machine"], set())
for number in range(512):
    if number in left_out or number in facts["allowed"]:
        continue
    got, error = raw_syscall(number, -1, -1, -1, -1, -1, -1)
    if got != -1 or error not in (1, 13, 38):
        breach(f"system call {number}: {got}, errno {error}")
""",
        bare=False,  # the host's kernel is not for trying every call on
    ),
)
