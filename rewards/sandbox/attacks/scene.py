"""What an attack could hurt: files, listeners and a process of the suite's own on this host."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import numbers

_STRAY_PLACES = ("/", "/tmp", "/var/tmp", "/dev/shm")
_SYSV = ("shm", "sem", "msg")


class Scene:
    """A folder that anyone may write to, secrets in it, listeners on loopback, and a victim.

    All of it is the suite's own and goes with `close`. Nothing that confinement is for is left to
    the permissions of files: an attack that gets through finds every door open.
    """

    def __init__(self) -> None:
        self.tag = ""
        self._secret = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="rewardplane-scene-"))
        self._folder.chmod(0o777)
        self._own = self._file("own", 0o600)
        self._open = self._file("open", 0o666)
        self._token = self._file("token", 0o644)
        self._sockets: dict[str, socket.socket] = {}
        self._listen()
        self._victim = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"],
            env={"SECRET": self._secret},
            stdin=subprocess.DEVNULL,
        )
        self._before = self._state()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes all of it away."""
        self._victim.kill()
        self._victim.wait()
        for each in self._sockets.values():
            each.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def facts(self, tag: str, zygotes: list[int], siblings: list[int]) -> dict[str, Any]:
        """What the next attack is told; `tag` marks whatever it makes, and is used once."""
        self.tag = tag
        ports = {name: s.getsockname() for name, s in self._sockets.items()}
        return {
            "tag": tag,
            "breach_mark": f"{tag}-breach",
            "secret": self._secret,
            "own_secret": str(self._own),
            "open_secret": str(self._open),
            "token_path": str(self._token),
            "folder": str(self._folder),
            "source": str(Path(__file__).parents[2] / "reward.py"),
            "python": os.path.realpath(sys.executable),
            "site_packages": sysconfig.get_path("purelib"),
            "runner": os.getpid(),
            "victim": self._victim.pid,
            "zygotes": zygotes,
            "siblings": siblings,
            "tcp": ports["tcp"][1],
            "tcp6": ports["tcp6"][1] if "tcp6" in ports else 0,
            "udp": ports["udp"][1],
            "service_ports": [ports["service"][1]],
            "unix_path": ports["unix"],
            "unix_abstract": ports["abstract"].decode(),
            "dbus_path": ports["dbus"],
            "key": self._key(),
            "numbers": numbers.of_this_machine(),
            "machine": platform.machine(),
            "allowed": numbers.allowed_here(),
            # Halves of marks: whole, they would be found in the very request that seeks them.
            "first": f"{tag}first",
            "second": "second",
            "third": f"{tag}third",
            "fourth": "fourth",
        }

    def marks(self) -> list[str]:
        """The whole marks, for the run before the one that seeks them."""
        return [f"{self.tag}firstsecond{n}" for n in range(2000)]

    def damage(self) -> list[str]:
        """What the last attack hurt, touched or left; mended as far as can be."""
        return [*self._callers(), *self._hurt_victim(), *self._changed_files(), *self._left()]

    def _file(self, name: str, mode: int) -> Path:
        path = self._folder / name
        path.write_text(self._secret)
        path.chmod(mode)
        return path

    def _listen(self) -> None:
        streams: dict[str, tuple[socket.AddressFamily, Any]] = {
            "tcp": (socket.AF_INET, ("127.0.0.1", 0)),
            "service": (socket.AF_INET, ("127.0.0.1", 0)),
            "unix": (socket.AF_UNIX, str(self._folder / "listener")),
            "dbus": (socket.AF_UNIX, str(self._folder / "bus")),
            "abstract": (socket.AF_UNIX, f"\0rewardplane-{self._secret}"),
        }
        if Path("/proc/net/if_inet6").exists():
            streams["tcp6"] = (socket.AF_INET6, ("::1", 0))
        for name, (family, address) in streams.items():
            listener = socket.socket(family)
            listener.bind(address)
            listener.listen(64)
            self._sockets[name] = listener
        self._sockets["udp"] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets["udp"].bind(("127.0.0.1", 0))
        for name in ("unix", "dbus"):
            Path(self._sockets[name].getsockname()).chmod(0o777)
        for each in self._sockets.values():
            each.setblocking(False)

    def _callers(self) -> Iterator[str]:
        for name, listener in self._sockets.items():
            with suppress(BlockingIOError):
                while True:
                    if name == "udp":
                        listener.recv(100)
                    else:
                        listener.accept()[0].close()
                    yield f"the {name} listener was reached"

    def _hurt_victim(self) -> Iterator[str]:
        pid = self._victim.pid
        if self._victim.poll() is not None:
            yield f"the victim ended with {self._victim.returncode}"
            return
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state in "tT":
            yield "the victim was stopped"
        if os.getpriority(os.PRIO_PROCESS, pid) != os.getpriority(os.PRIO_PROCESS, 0):
            yield "the victim's priority was changed"

    def _state(self) -> dict[Path, tuple[Any, ...]]:
        found: dict[Path, tuple[Any, ...]] = {}
        for path in (self._folder, self._own, self._open, self._token):
            s = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            own = (stat_time for stat_time in (s.st_mtime_ns,) if path.is_file())
            found[path] = (s.st_mode, s.st_uid, s.st_gid, os.listxattr(path), content, *own)
        return found

    def _changed_files(self) -> Iterator[str]:
        known = {self._own, self._open, self._token}
        known |= {Path(self._sockets[name].getsockname()) for name in ("unix", "dbus")}
        try:
            changed = [str(p) for p, state in self._state().items() if state != self._before[p]]
        except OSError as error:
            changed = [str(error)]
        if changed:
            yield f"changed: {', '.join(changed)}"
            for path, mode in ((self._own, 0o600), (self._open, 0o666), (self._token, 0o644)):
                path.unlink(missing_ok=True)
                self._file(path.name, mode)
            self._folder.chmod(0o777)
            self._before = self._state()
        for path in set(self._folder.iterdir()) - known:
            yield f"{path} is left"
            _remove(path)

    def _left(self) -> Iterator[str]:
        if not self.tag:
            return
        folders = [Path(place) for place in _STRAY_PLACES]
        folders += [Path.cwd(), Path(sysconfig.get_path("purelib")), Path(os.__file__).parent]
        folders.append(Path(sys.executable).resolve().parent)
        for folder in folders:
            if not folder.is_dir():
                continue
            for path in folder.glob(f"*{self.tag}*"):
                yield f"{path} is left"
                _remove(path)
        for kind in _SYSV:
            with suppress(OSError):
                rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
                if any(int(row.split()[0]) == self._key() for row in rows):
                    yield f"SysV {kind} is left"

    def _key(self) -> int:
        return int(self._secret[:6], 16) + 1


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
