"""Regenerates the checked-in Python stubs of every .proto under this folder.

    python proto/generate.py            writes the stubs
    python proto/generate.py --check    writes nothing; exit status 1 when they are not up to date

Runs on any Python from 3.11 on and needs nothing installed. It makes a virtual environment of its
own, since the generator must not follow the service's grpcio: stubs run on any gRPC and protobuf
from the generator's own version on, so that version is the floor that every trainer must meet.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

GRPC_TOOLS_VERSION = "1.66.2"
PROTO_DIR = Path(__file__).resolve().parent
TOOLS_DIR = PROTO_DIR.parent / ".venv" / f"protoc-{GRPC_TOOLS_VERSION}"


def tools_python() -> Path:
    """The interpreter of the generator's virtual environment, which is made when there is none."""
    python = TOOLS_DIR / "bin" / "python"
    complete = TOOLS_DIR / "complete"
    if not complete.exists():
        venv.create(TOOLS_DIR, with_pip=True, clear=True)
        wanted = [
            f"grpcio-tools=={GRPC_TOOLS_VERSION}",
            f"grpcio=={GRPC_TOOLS_VERSION}",
            "setuptools<81",  # grpc_tools imports pkg_resources, which later ones do not have
        ]
        subprocess.run([python, "-m", "pip", "install", "-qq", *wanted], check=True)
        complete.touch()
    return python


def stubs(folder: Path) -> dict[Path, str]:
    """The stubs that lie under `folder`: relative path to text."""
    files = (p for p in folder.rglob("*_pb2*") if p.suffix in {".py", ".pyi"})
    return {p.relative_to(folder): p.read_text(encoding="utf-8") for p in sorted(files)}


def generate() -> dict[Path, str]:
    """The stubs as they should be: path relative to this folder to text.

    Raises:
        subprocess.CalledProcessError: a .proto does not compile; protoc said why on stderr.
    """
    protos = sorted(str(p.relative_to(PROTO_DIR)) for p in PROTO_DIR.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as out_dir:
        outs = [f"--{plugin}_out={out_dir}" for plugin in ("python", "pyi", "grpc_python")]
        command = [tools_python(), "-m", "grpc_tools.protoc", "-I.", *outs, *protos]
        subprocess.run(command, cwd=PROTO_DIR, check=True)
        return stubs(Path(out_dir))


def main() -> int:
    """Writes or checks, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Regenerates the stubs of proto/.")
    parser.add_argument("--check", action="store_true", help="only compare with what is there")
    only_check = parser.parse_args().check
    fresh, present = generate(), stubs(PROTO_DIR)
    stale = [path for path in {**present, **fresh} if fresh.get(path) != present.get(path)]
    if only_check:
        for path in stale:
            print(f"proto/{path} is not what `python proto/generate.py` makes", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        if path in fresh:
            (PROTO_DIR / path).write_text(fresh[path], encoding="utf-8")
        else:
            (PROTO_DIR / path).unlink()
        print(f"proto/{path}: {'written' if path in fresh else 'removed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
