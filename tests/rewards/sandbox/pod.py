"""Runs `rewardplane sandbox` in what a pod gives it, by crun (apt-get install crun), as root.

    python tests/rewards/sandbox/pod.py restricted|localhost|unconfined [--attack]

restricted   Pod Security `restricted`: uid 1000, no capabilities, no new privileges, RuntimeDefault
localhost    the same with deploy/sandbox/seccomp-namespaced.json, as deploy/sandbox has it
unconfined   the same without a seccomp profile

The root is read-only, /tmp is a tmpfs, /proc is masked as containerd masks it. RuntimeDefault is
made of the profile in deploy/: that less the system calls which namespaces need, where `clone` may
not ask for a namespace. It needs neither a daemon nor a network, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from as_user import needed

ROOT = Path(__file__).parents[3]
PROFILE = ROOT / "deploy" / "sandbox" / "seccomp-namespaced.json"
UID = 1000
# What RuntimeDefault keeps for CAP_SYS_ADMIN, and the flags that `clone` may not have without it.
NAMESPACE_CALLS = ["clone", "mount", "pivot_root", "setns", "umount2", "unshare"]
NAMESPACE_FLAGS = 0x7E020000
HOST_FOLDERS = ("/usr", "/lib", "/lib64", "/bin", "/etc")
MASKED = "acpi asound interrupts kcore keys latency_stats sched_debug scsi timer_list timer_stats"
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")


def seccomp(pod: str) -> dict[str, Any] | None:
    """The profile of a pod; None: unconfined."""
    if pod == "unconfined":
        return None
    profile: dict[str, Any] = json.loads(PROFILE.read_text())
    if pod == "restricted":
        rules = [rule for rule in profile["syscalls"] if rule["names"] != NAMESPACE_CALLS]
        masked = {"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        clone = {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked]}
        profile["syscalls"] = [*rules, clone]
    return profile


def config(pod: str, arguments: list[str]) -> dict[str, Any]:
    """The runtime specification's config.json."""
    shown = [Path(folder) for folder in HOST_FOLDERS if Path(folder).is_dir()] + needed()
    binds = [
        {"destination": str(p), "type": "bind", "source": str(p), "options": ["rbind", "ro"]}
        for p in shown
    ]
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]}
    linux: dict[str, Any] = {
        "namespaces": [{"type": t} for t in ("pid", "mount", "network", "ipc", "uts", "cgroup")],
        "maskedPaths": [*(f"/proc/{name}" for name in MASKED.split()), "/sys/firmware"],
        "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
    }
    profile = seccomp(pod)
    if profile is not None:
        linux["seccomp"] = profile
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "user": {"uid": UID, "gid": UID},
            "args": arguments,
            "cwd": str(ROOT),
            "env": [f"PATH={os.environ['PATH']}", "HOME=/tmp", "COLUMNS=160"],
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", **tmpfs, "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", **tmpfs},  # noqa: S108 - the pod's
            {"destination": "/tmp", **tmpfs},  # noqa: S108 - the pod's
            *binds,
        ],
        "linux": linux,
    }


def run(pod: str, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Runs a command in a pod and waits for it; its output is this process's."""
    arguments = [sys.executable, *command]
    with tempfile.TemporaryDirectory(prefix="rewardplane-pod-") as bundle:
        (Path(bundle) / "rootfs").mkdir()
        (Path(bundle) / "config.json").write_text(json.dumps(config(pod, arguments)))
        name = f"rewardplane-{pod}-{os.getpid()}"
        # crun refuses a host that mounts both versions of cgroups: it is shown only the older one.
        hide = 'umount -q /sys/fs/cgroup/unified; exec crun "$@"'
        crun = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "crun"]
        crun += ["--root", f"{bundle}/state", "--cgroup-manager", "disabled"]
        # A pipe for stdin: the runtime gives its owner to the pod's user, /dev/null's too.
        return subprocess.run(
            [*crun, "run", "--bundle", bundle, name], input=b"", check=False, timeout=600
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pod", choices=("restricted", "localhost", "unconfined"))
    parser.add_argument("--attack", action="store_true")
    args = parser.parse_args()
    command = ["-m", "rewardplane.cli", "sandbox", *(["--attack"] if args.attack else [])]
    sys.exit(run(args.pod, command).returncode)


if __name__ == "__main__":
    main()
