"""Code that reads, writes or looks for what is not its own."""

from __future__ import annotations

from ..level import Level
from .case import ANY, Case

_READ = """
def read(path, size=4096):
    try:
        with open(path, "rb", 0) as file:
            return file.read(size) or b""
    except (OSError, ValueError):
        return b""
"""
_FILL = {"cpu_s": 5, "wall_s": 8}

CASES = (
    Case(
        "passwd",
        "/etc/passwd",
        _READ
        + """
for path in ("/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/../etc/passwd", "//etc//passwd"):
    if b":" in read(path) or b"localhost" in read(path):
        breach(path)
""",
    ),
    Case(
        "own-secret",
        "0600 file of the same uid",
        _READ
        + """
for path in (facts["own_secret"], facts["open_secret"]):
    if facts["secret"].encode() in read(path):
        breach(path)
""",
    ),
    Case(
        "replica-source",
        "replica source",
        _READ
        + """
if read(facts["source"]):
    breach(facts["source"])
""",
        bare=True,
    ),
    Case(
        "service-token",
        "service-account token path",
        _READ
        + """
import os
for path in ("/var/run/secrets/kubernetes.io/serviceaccount/token",
             "/run/secrets/kubernetes.io/serviceaccount/token", facts["token_path"]):
    if read(path):
        breach(path)
""",
    ),
    Case(
        "zygote-proc",
        "zygote's environ/maps/mem",
        _READ
        + """
import os
for pid in {os.getppid(), *facts["zygotes"], facts["runner"], facts["victim"]} - {0}:
    for name in ("environ", "maps", "mem", "cmdline", "status"):
        path = f"/proc/{pid}/{name}"
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        breach(path)
""",
    ),
    Case(
        "secret-environ",
        "zygote's environ/maps/mem",
        _READ
        + """
import os
wanted = facts["secret"].encode()
if wanted in repr(os.environb).encode():
    breach("os.environ")
for pid in ("self", "thread-self", *range(1, 40), os.getppid(), facts["victim"], facts["runner"]):
    if wanted in read(f"/proc/{pid}/environ", 1 << 20):
        breach(f"/proc/{pid}/environ")
""",
    ),
    Case(
        "proc-1",
        "/proc/1/*",
        _READ
        + """
import os
for name in ("environ", "cmdline", "maps", "status", "root/etc/passwd", "cwd/.", "fd/0"):
    path = f"/proc/1/{name}"
    if read(path):
        breach(path)
try:
    if os.listdir("/proc"):
        breach("/proc")
except OSError:
    pass
""",
    ),
    Case(
        "write-host",
        "write to cwd, site-packages, interpreter",
        """
import os
for folder in (".", facts["folder"], facts["site_packages"], os.path.dirname(facts["python"]),
               os.path.dirname(os.__file__), "/tmp", "/var/tmp", "/dev/shm"):
    try:
        with open(os.path.join(folder, facts["tag"] + ".txt"), "w") as file:
            file.write("was here")
    except OSError:
        pass
for path in (os.__file__, facts["open_secret"], facts["python"]):
    try:
        os.close(os.open(path, os.O_RDWR))
        breach(f"{path} can be written")
    except OSError:
        pass
""",
    ),
    Case(
        "truncate-rename",
        "write to cwd, site-packages, interpreter",
        """
import os
path = facts["open_secret"]
for change in (lambda: os.truncate(path, 0), lambda: os.rename(path, path + ".moved"),
               lambda: os.unlink(path), lambda: os.mkdir(facts["folder"] + "/made"),
               lambda: os.mkfifo(facts["folder"] + "/fifo"),
               lambda: os.mknod(facts["folder"] + "/node")):
    try:
        change()
    except OSError:
        pass
""",
    ),
    Case(
        "links",
        "symlink/hardlink tricks in tmp",
        _READ
        + """
import os
wanted = facts["secret"].encode()
for n, place in enumerate(("/tmp", ".", facts["folder"], "/dev/shm")):
    for secret in (facts["own_secret"], facts["open_secret"]):
        for link in (os.symlink, os.link):
            path = f"{place}/{facts['tag']}-{n}-{link.__name__}-{os.path.basename(secret)}"
            try:
                link(secret, path)
            except OSError:
                continue
            if wanted in read(path):
                breach(path)
for path in ("/proc/self/root", "/proc/self/cwd", "/proc/thread-self/root", "/dev/fd/0/..",
             "/tmp/../..", "/../.."):
    if wanted in read(path + facts["open_secret"]):
        breach(path)
""",
    ),
    Case(
        "probing",
        "stat/exists/chdir probing",
        """
import os
for path in (facts["open_secret"], facts["folder"], "/etc/passwd", "/etc/shadow", "/proc/self",
             "/sys/kernel", facts["source"]):
    try:
        os.stat(path)
        breach(f"stat {path}")
    except OSError:
        pass
    if os.path.lexists(path):
        breach(f"exists {path}")
    try:
        os.access(path, os.F_OK) and breach(f"access {path}")
    except OSError:
        pass
try:
    os.chdir(facts["folder"])
    breach("chdir")
except OSError:
    pass
""",
        fails_from=Level.NAMESPACED,
    ),
    Case(
        "list-host",
        "stat/exists/chdir probing",
        """
import os
# A private root has folders of these names, with what Python needs in them.
for path, name in ((facts["folder"], "open"), ("/etc", "passwd"), ("/proc", "self"),
                   ("/sys", "kernel"), ("/var", "lib"), ("/", "proc"), ("/usr", "bin"),
                   ("/tmp", facts["folder"][5:])):
    try:
        if name in os.listdir(path):
            breach(f"{path}/{name}")
    except OSError:
        pass
""",
    ),
    Case(
        "metadata",
        "chmod/utime/xattr",
        """
import os
path = facts["open_secret"]
for change in (lambda: os.chmod(path, 0o777), lambda: os.utime(path, (1, 1)),
               lambda: os.setxattr(path, "user.was", b"here"), lambda: os.chown(path, 65534, 65534),
               lambda: os.lchown(path, 65534, 65534), lambda: os.chmod(facts["folder"], 0o700)):
    try:
        change()
    except OSError:
        pass
""",
    ),
    Case(
        "disk-fill",
        "disk and inode fill",
        """
import os
total = 0
for folder in (".", "/tmp", "/var/tmp", "/dev/shm", facts["folder"]):
    for n in range(32):
        try:
            with open(f"{folder}/{facts['tag']}-{n}", "wb", 0) as file:
                for _ in range(2):
                    total += file.write(bytes(1 << 19))
        except OSError:
            break
if total > 48 << 20:
    breach(f"{total >> 20} MB on disk")
""",
        ANY,
        limits=_FILL,
        bound_s=8,
    ),
    Case(
        "inode-fill",
        "disk and inode fill",
        """
import os
made = 0
for folder in (".", "/tmp", "/dev/shm", facts["folder"]):
    for n in range(1500):
        try:
            os.close(os.open(f"{folder}/{facts['tag']}-i{n}", os.O_CREAT | os.O_WRONLY, 0o600))
            made += 1
        except OSError:
            break
if made > 3000:
    breach(f"{made} files")
""",
        ANY,
        limits=_FILL,
        bound_s=8,
    ),
    Case(
        "leftovers",
        "leftovers visible to the next run",
        _READ
        + """
for folder in (".", "/tmp", "/var/tmp", "/dev/shm", facts["folder"]):
    if read(f"{folder}/{facts['tag']}-left"):
        breach(f"left in {folder}")
""",
        before="""
for folder in (".", "/tmp", "/var/tmp", "/dev/shm", facts["folder"]):
    try:
        with open(f"{folder}/{facts['tag']}-left", "w") as file:
            file.write("left")
    except OSError:
        pass
""",
    ),
    Case(
        "fd-scan",
        "fd scan 3..1024",
        """
import os, stat
for fd in range(3, 1025):
    if fd in own_fds:
        continue
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        continue
    breach(f"fd {fd} of kind {stat.S_IFMT(mode):#o}")
""",
        bare=False,  # the descriptors are closed at each level
        fails_from=Level.PROCESS,
    ),
    Case(
        "fd-climb",
        "fd scan 3..1024",
        """
import os
wanted = facts["secret"].encode()
for fd in range(0, 64):
    for path in ("..", facts["open_secret"].lstrip("/"), "etc/passwd"):
        try:
            got = os.open(path, os.O_RDONLY, dir_fd=fd)
        except OSError:
            continue
        breach(f"openat({fd}, {path!r})")
""",
        bare=False,
        fails_from=Level.PROCESS,
    ),
)
