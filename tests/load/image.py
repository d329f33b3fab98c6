"""Runs the image as its pods run it, by crun: `python -m tests.load.image ROOTFS [COMMAND...]`.

ROOTFS is the image's file system (`buildah from` and `buildah mount`). The root is read-only, /tmp
and /dev/shm are tmpfs, the user is 1000 without capabilities, the seccomp profile is what
RuntimeDefault allows, and the network has a loopback alone. COMMAND is `rewardplane demo` unless it
is given. Wants root and crun.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards" / "sandbox"))

import pod  # lies in no package

ENV = ["PATH=/opt/rewardplane/bin:/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "PYTHONUNBUFFERED=1"]


def config(root: str, command: list[str]) -> dict[str, Any]:
    """The runtime specification's config.json."""
    made = pod.config("restricted", command)
    own = {"/proc", "/dev", "/dev/shm", "/tmp"}  # noqa: S108 - the container's
    made["mounts"] = [m for m in made["mounts"] if m["destination"] in own]
    made["root"] = {"path": root, "readonly": True}
    made["process"] |= {"cwd": "/home/rewardplane", "env": [*ENV, "COLUMNS=100"]}
    return made


def main() -> None:
    """The command."""
    root, *command = sys.argv[1:]
    command = ["tini", "--", *(command or ["rewardplane", "demo"])]
    with tempfile.TemporaryDirectory(prefix="rewardplane-image-") as bundle:
        (Path(bundle) / "config.json").write_text(json.dumps(config(root, command)))
        # crun refuses a host that mounts both versions of cgroups: it is shown the older one alone.
        hide = 'umount -q /sys/fs/cgroup/unified; exec crun "$@"'
        crun = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "crun"]
        crun += ["--root", f"{bundle}/state", "--cgroup-manager", "disabled"]
        begin_s = time.monotonic()
        run = [*crun, "run", "--bundle", bundle, f"rewardplane-image-{time.time_ns()}"]
        told = subprocess.run(run, input=b"", check=False, timeout=900)
        print(f"exit {told.returncode} after {time.monotonic() - begin_s:.0f} s")
    sys.exit(told.returncode)


if __name__ == "__main__":
    main()
