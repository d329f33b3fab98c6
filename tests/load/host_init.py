"""What becomes a host of `network.py`: `python host_init.py JSON`, as root in its namespaces.

It waits for its end of the cable (a line on stdin), names itself, shows what a pod of the manifests
sees (a read-only root, an empty /tmp and /dev/shm, the files of its volumes), gives up root and
becomes the container's command, process 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards" / "sandbox"))

from as_user import become, open_up


def mount(*arguments: str) -> None:
    """Mounts; a fault ends the host."""
    subprocess.run(["mount", *arguments], check=True)


def shown(volumes: dict[str, str], size: str) -> None:
    """The files of the pod, each at its place."""
    mount("-t", "tmpfs", "tmpfs", "/mnt")
    shutil.copytree("/etc", "/mnt/etc", symlinks=True)
    for place in volumes:
        path = Path("/mnt") / place.removeprefix("/")
        if not path.exists():
            path.mkdir(parents=True)
    mount("--bind", "/mnt/etc", "/etc")
    for place, source in volumes.items():
        mount("--bind", source, place)
    mount("-o", "remount,bind,ro", "/")
    for place in ("/tmp", "/dev/shm"):  # noqa: S108 - the host's own
        mount("-t", "tmpfs", "-o", f"mode=1777,size={size}", "tmpfs", place)


def main() -> None:
    """Sets the host up and becomes its first process."""
    spec: dict[str, Any] = json.loads(sys.argv[1])
    sys.stdin.readline()
    for line in (
        "link set lo up",
        f"address add {spec['address']}/16 dev eth0",
        "link set eth0 up",
        f"route add default via {spec['gateway']}",  # a program asks it for its own address
    ):
        subprocess.run(["ip", *line.split()], check=True)
    subprocess.run(["hostname", spec["name"]], check=True)
    shown(spec["volumes"], spec["size"])
    open_up()
    become(spec["uid"])
    os.chdir("/tmp")  # noqa: S108 - the host's own
    command = ["setpriv", "--no-new-privs", *spec["command"]]
    os.execvpe(command[0], command, spec["env"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
