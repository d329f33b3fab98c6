"""The suite leaves nothing of the study out."""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Mapping
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox.attacks.catalog import CASES, TESTS
from rewardplane.rewards.sandbox.attacks.note import LINES
from rewardplane.rewards.sandbox.attacks.numbers import NUMBERS
from rewardplane.rewards.sandbox.seccomp import MACHINES
from rewardplane.rewards.sandbox.verdict import Verdict

ROOT = Path(__file__).parents[3]


def case_ids() -> Mapping[str, tuple[str, ...]]:
    by_line: dict[str, list[str]] = {line: [] for lines in LINES.values() for line in lines}
    for case in CASES:
        by_line[case.line].append(case.id)
    for line, tests in TESTS.items():
        by_line[line].extend(tests)
    return {line: tuple(ids) for line, ids in by_line.items()}


def test_every_line_of_the_study_has_a_case_or_a_test() -> None:
    assert [line for line, ids in case_ids().items() if not ids] == []
    assert set(case_ids()) == {line for lines in LINES.values() for line in lines}


def test_ids_are_unique_and_no_attack_may_pass_for_a_fault_of_the_sandbox() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert [case.id for case in CASES if Verdict.SANDBOX_ERROR in case.ends] == []


def test_every_source_is_python() -> None:
    for case in CASES:
        for source in (case.source, case.before, case.beside):
            ast.parse(source, case.id)


@pytest.mark.parametrize("machine", MACHINES)
def test_attacks_make_the_calls_they_name(machine: str) -> None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:  # every Debian has it; where it is missing the numbers cannot be compared
        pytest.skip("libseccomp.so.2 is not installed")
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes, resolve.restype = (ctypes.c_uint32, ctypes.c_char_p), ctypes.c_int
    for name, numbers in NUMBERS.items():
        assert resolve(MACHINES[machine].audit, name.encode()) == numbers[MACHINES[machine].column]


def test_the_tests_that_stand_for_a_line_exist() -> None:
    for name in (name for names in TESTS.values() for name in names):
        file, _, function = name.partition("::")
        module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        found = {
            n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in found, name
