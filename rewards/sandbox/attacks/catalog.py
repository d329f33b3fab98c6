"""All cases by the note's lines, and the tests that hold the lines which no attack alone can."""

from __future__ import annotations

from . import between, cpu, files, kernel, memory, network, output, processes, signals
from .case import Case

CASES: tuple[Case, ...] = (
    *cpu.CASES,
    *memory.CASES,
    *processes.CASES,
    *files.CASES,
    *network.CASES,
    *kernel.CASES,
    *signals.CASES,
    *output.CASES,
    *between.CASES,
)

_LEVEL = "tests/rewards/sandbox/test_level.py"
_MISSING = "tests/rewards/sandbox/test_missing.py"
_POOL = "tests/rewards/sandbox/test_pool.py"
_BUSY = "tests/rewards/sandbox/test_busy.py"
_CHEATS = "tests/rewards/sandbox/test_code_integrity.py"
_CODE = "tests/rewards/sandbox/test_code_tests.py"
_CHEAT = f"{_CHEATS}::test_a_cheat_earns_nothing"
"""With a program for each line, in each shape of tests, which the naive grader is fooled by."""

TESTS: dict[str, tuple[str, ...]] = {
    "level not available: FAILED_PRECONDITION": (
        f"{_LEVEL}::test_below_the_demand_it_does_not_start",
    ),
    "Landlock/userns/seccomp each faked missing: the level drops, canaries notice": (
        f"{_MISSING}::test_no_user_namespaces",
        f"{_MISSING}::test_no_landlock_where_a_private_root_cannot_stand_for_it",
        f"{_MISSING}::test_no_seccomp",
        f"{_MISSING}::test_canaries_notice_a_landlock_that_does_nothing",
        f"{_MISSING}::test_canaries_notice_a_seccomp_that_does_nothing",
    ),
    "zygote killed mid-run: sandbox_error, retried, slot replaced": (
        f"{_POOL}::test_a_zygote_killed_amid_runs_costs_nothing",
        f"{_POOL}::test_where_no_zygote_can_be_started_a_run_is_an_error_and_not_a_score",
    ),
    "replica killed: no orphan zygote": (
        f"{_POOL}::test_a_host_that_is_killed_leaves_no_process_and_its_memory_limit_is_not_the_runs",
    ),
    "10 000 runs: no fd, zombie, memory or mount growth": (
        f"{_POOL}::test_runs_leave_nothing_behind",
        "tests/load/sandbox_soak.py::soak",
    ),
    "limits hold with all slots busy": (f"{_BUSY}::test_limits_hold_with_all_slots_busy",),
    "os._exit(0), sys.exit(0), raise SystemExit, exit inside a test": (_CHEAT,),
    "__eq__/__ne__/__hash__/__bool__/__float__ objects": (_CHEAT,),
    "int/str/float/list subclasses": (_CHEAT,),
    "__class__ lies": (_CHEAT,),
    "frame walk": (_CHEAT,),
    "gc.get_objects": (_CHEAT,),
    "sys.modules/builtins/json.dumps/isinstance/unittest/pytest patching, conftest": (_CHEAT,),
    "settrace/setprofile/audit hooks": (_CHEAT,),
    "writing a forged result to every fd": (_CHEAT,),
    "printing fake PASSED/markers before the real ones": (_CHEAT,),
    "pickle __reduce__": (_CHEAT,),
    "NaN, inf, -0.0, '1e999', huge ints, bool, None, wrong shape": (
        f"{_CHEATS}::test_an_odd_value_is_wrong",
    ),
    "duplicated or missing test ids": (f"{_CHEATS}::test_doubled_and_made_up_answers_count_once",),
    "finishing fewer tests than asked": (
        f"{_CODE}::test_what_passes_beside_a_test_that_ends_the_program_counts",
    ),
    "non-determinism (hash seed, random, time) between replicas": (
        f"{_CODE}::test_hashes_and_the_tests_own_chance_are_the_same_everywhere",
    ),
    "snippet-server state": (
        "tests/rewards/sandbox/test_snippet_server.py::test_a_process_serves_many_calls",
        "tests/rewards/sandbox/test_snippet_server.py::test_functions_do_not_share_a_process",
    ),
}
"""By line: the tests that hold it, as pytest names them, without their parameters."""
