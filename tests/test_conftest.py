"""Which tests run in one process: fixtures of a module, and the Ray cluster, are made once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from .conftest import LONG, OWN_RAY, RAY, unit_of

TEST = """
import os, time
import pytest

@pytest.mark.parametrize("number", range(8))
def test_it(number: int) -> None:
    time.sleep(0.02)
    print(f"ran <{__file__}> in <{os.getpid()}>")
"""


def test_a_file_runs_in_one_process_and_the_cluster_too(tmp_path: Path) -> None:
    names = [
        *("test_one.py", "test_two.py", "wire/test_three.py", "wire/test_four.py"),
        *("cluster/test_a.py", "cluster/test_b.py", "cluster/test_joined.py"),
    ]
    for name in names:
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).write_text(TEST)
    (tmp_path / "tests" / "conftest.py").write_text(
        Path(__file__).with_name("conftest.py").read_text()
    )
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-rP", "tests"]
    options = ["-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(tmp_path)]
    said = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode == 0, said.stdout + said.stderr
    ran = re.findall(r"ran <(.*?)> in <(\d+)>", said.stdout)
    assert len(ran) == 8 * len(names)
    processes: dict[str, set[str]] = defaultdict(set)
    for file, process in ran:
        processes[unit_of(str(Path(file).relative_to(tmp_path)))].add(process)
    assert len(processes) == len(names) - 1
    assert {unit: len(found) for unit, found in processes.items()} == dict.fromkeys(processes, 1)
    assert len(set().union(*processes.values())) > 1
    assert unit_of("tests/cluster/test_a.py::test_it[1::2]") == RAY


def test_what_is_named_is_there() -> None:
    root = Path(__file__).parents[1]
    assert [
        unit for unit in (*LONG, *(RAY + name for name in OWN_RAY)) if not (root / unit).exists()
    ] == []
