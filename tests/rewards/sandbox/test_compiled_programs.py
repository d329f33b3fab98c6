"""Programs in C++ and C under tests by stdin and stdout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from rewardplane.rewards.code.ending import Ending
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.sandbox import toolchain
from rewardplane.rewards.sandbox.toolchain import CompilerMissing
from rewardplane.rewards.types import Example, InvalidReference, Response, Score

SQUARES = {"inputs": ["2\n", "3\n", "-1\n"], "outputs": ["4\n", "9\n", "1\n"]}
SQUARE = '#include <cstdio>\nint main() { int n; scanf("%d", &n); printf("%d\\n", n * n); }'
IO = "#include <cstdio>\n"


def made(**params: Any) -> CodeTests:
    given = {"cpu_s": 1.0, "memory_mb": 256, "compile_cpu_s": 3.0, **params}
    reward = build("code_tests", given)
    assert isinstance(reward, CodeTests)
    reward.setup()
    return reward


@pytest.fixture(scope="module")
def cpp() -> Iterator[CodeTests]:
    """The kind for C++."""
    it = made(language="cpp")
    yield it
    it.kill()


@pytest.fixture(scope="module")
def auto() -> Iterator[CodeTests]:
    """The kind for whatever a response is written in."""
    it = made(language="auto")
    yield it
    it.kill()


async def scored(
    reward: CodeTests, program: str, tests: Any = SQUARES, mark: str = "cpp", **references: str
) -> Score:
    example = Example(references=references, json_references={"tests": json.dumps(tests)})
    return await reward.score(example, Response(f"So:\n```{mark}\n{program}\n```\nDone."))


@pytest.mark.parametrize(
    "program",
    [
        SQUARE,
        "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n * n; }",
        "#include <bits/stdc++.h>\nusing namespace std;\n#define int long long\nsigned main() {\n"
        "ios::sync_with_stdio(false); cin.tie(nullptr);\n"
        'int n; cin >> n; vector<int> v(1, n * n); for (int x : v) cout << x << "\\n"; }',
        IO + "int main() {\n#ifndef ONLINE_JUDGE\n"
        'freopen("input.txt", "r", stdin);\n#endif\n'
        'int n; scanf("%d", &n); fprintf(stderr, "n=%d", n); printf("%d", n * n); }',
        "#include <unistd.h>\n#include <stdlib.h>\n#include <stdio.h>\n"
        "int main(void) { char t[9] = {0}; read(0, t, 8); int n = atoi(t);\n"
        'int k = sprintf(t, "%d", n * n); write(1, t, k); _exit(0); }',
        "#include <thread>\n#include <iostream>\nint main() { int n; std::cin >> n; int s = 0;\n"
        "std::thread t([&] { s = n * n; }); t.join(); std::cout << s; }",
        "#include <bit>\n#include <cstdio>\n#include <concepts>\n"
        "template <std::integral T> T square(T n) { return n * n; }\n"
        'int main() { int n; scanf("%d", &n); if (std::popcount(7u)) printf("%d", square(n)); }',
        "#include <cstdio>\n#include <expected>\nint main() { int n; auto one = 1uz;\n"
        'scanf("%d", &n); std::expected<int, int> e = n * n; if (one) printf("%d", *e); }',
    ],
    ids=["scanf", "cin", "bits", "online-judge", "posix", "thread", "c++20", "c++23"],
)
async def test_right_programs(cpp: CodeTests, program: str) -> None:
    score = await scored(cpp, program)
    assert score.reward == 1.0, score.explanation


async def test_recursion_as_deep_as_there_is_memory(cpp: CodeTests) -> None:
    program = (
        IO + "long long s(int n) { volatile char b[64]; b[n & 63] = 1; "
        "return n ? n + s(n - 1) + b[n & 63] - 1 : 0; }\n"
        'int main() { int n; scanf("%d", &n); printf("%lld", s(n)); }'
    )
    tests = {"inputs": ["1000000"], "outputs": ["500000500000"]}
    assert (await scored(cpp, program, tests)).reward == 1.0


async def test_codeforces_with_a_checker_and_limits(cpp: CodeTests) -> None:
    tests = {
        "official_tests": [{"input": "6\n", "output": "2 3\n"}, {"input": "35\n", "output": "5 7"}],
        "generated_checker": "import sys\n"
        "n = int(open(sys.argv[1]).read())\n"
        "a, b = map(int, open(sys.argv[3]).read().split())\n"
        "print(1 if a * b == n and 1 < a < n else 0)",
        "time_limit": 2.0,
        "memory_limit": 256.0,
        "executable": True,
        "input_mode": "stdio",
    }
    program = (
        "#include <iostream>\nint main() { int n; std::cin >> n; int p = n - 1;\n"
        'while (n % p) --p; std::cout << p << " " << n / p; }'
    )
    assert (await scored(cpp, program, tests)).reward == 1.0
    wrong = program.replace("n / p", "n")
    assert (await scored(cpp, wrong, tests)).reward == 0.0


async def test_a_program_with_tables_of_some_megabytes(cpp: CodeTests) -> None:
    program = (
        IO + "int a[1 << 21] = {1};\nint main() { int n; "
        'scanf("%d", &n); a[n + 9] = n; printf("%d", a[n + 9] * n); }'
    )
    score = await scored(cpp, program)
    assert score.reward == 1.0, score.explanation


async def test_a_large_input(cpp: CodeTests) -> None:
    numbers = list(range(200_000))
    tests = {"inputs": [" ".join(map(str, numbers))], "outputs": [str(sum(numbers))]}
    program = (
        IO + 'int main() { long long s = 0, x; while (scanf("%lld", &x) == 1) s += x; '
        'printf("%lld", s); }'
    )
    assert (await scored(cpp, program, tests)).reward == 1.0


WRONG = {
    "another-answer": ('int main() { puts("4"); }', Ending.WRONG),
    "loop": ("int main() { for (volatile int i = 0;; i = i + 1); }", Ending.TIME_LIMIT),
    "exit-code": ('#include <stdlib.h>\nint main() { puts("4"); exit(3); }', Ending.CRASHED),
    "null": ("int main() { volatile int *p = 0; *p = 1; }", Ending.CRASHED),
    "throw": ("int main() { throw 1; }", Ending.CRASHED),
    "no-end": ("int f(volatile int n) { return f(n + 1) + n; }\nint main() { return f(0); }",
               Ending.CRASHED),
    "flood": ('int main() { for (int i = 0; i < 9999999; i++) puts("4444"); }',
              Ending.OUTPUT_LIMIT),
    "memory": ("#include <stdlib.h>\n#include <string.h>\nint main() { for (;;)\n"
               "memset(malloc(1 << 24), 1, 1 << 24); }", Ending.CRASHED),
    "static-memory": ("char a[1500000000];\nint main() { a[5] = 1; return a[6]; }",
                      Ending.CRASHED),
    "no-compile": ("int main() { return squared(3); }", Ending.NO_PROGRAM),
    "no-main": ("int f() { return 3; }", Ending.NO_PROGRAM),
    "undefined": ("int g();\nint main() { return g(); }", Ending.NO_PROGRAM),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_wrong_programs(cpp: CodeTests, name: str) -> None:
    source, ending = WRONG[name]
    score = await scored(cpp, IO + source, {"inputs": ["2"], "outputs": ["9"]})
    assert score.reward == 0.0
    assert score.components["verdict"] == ending, score.explanation
    assert score.components["parsed"] == float(ending is not Ending.NO_PROGRAM)


async def test_the_compiler_is_quoted(cpp: CodeTests) -> None:
    score = await scored(cpp, IO + "int main() { return squared(3); }")
    assert "it does not compile" in score.explanation
    assert "'squared' was not declared in this scope" in score.explanation
    undefined = await scored(cpp, "int g();\nint main() { return g(); }")
    assert "undefined reference to `g()'" in undefined.explanation


LOADERS = [
    r'.asciz \"/bin/sh\"', r'.asciz \"/dev/urandom\"', ".byte 65", ".fill 5000, 1, 65\\n.byte 0",
]  # fmt: skip


@pytest.mark.parametrize("loader", LOADERS, ids=["missing", "refused", "no-text", "long"])
async def test_a_program_that_names_a_loader_is_wrong_and_no_fault(
    cpp: CodeTests, loader: str
) -> None:
    named = f'__asm__(".section .interp,\\"a\\"\\n{loader}\\n.text");\n'
    score = await scored(cpp, named + SQUARE)
    assert (score.reward, score.components["verdict"]) == (0.0, Ending.CRASHED)
    assert "it cannot be started: E" in score.explanation


async def test_what_the_linker_refuses_is_tried_by_no_other_version(cpp: CodeTests) -> None:
    cpp.take_figures()
    await scored(cpp, "int g();\nint main() { return g(); }")
    assert cpp.take_figures()["sandbox_runs.runtime_error"] == 1
    await scored(cpp, "int main() { return g(); }")
    assert cpp.take_figures()["sandbox_runs.runtime_error"] == 2


async def test_a_slow_source_is_tried_in_no_other_version() -> None:
    reward = made(language="cpp", compile_cpu_s=0.1)
    try:
        slow = (
            "constexpr int f(int n) { int s = 0; for (int i = 0; i < n; i++) s ^= i; return s; }\n"
            "static_assert(f(200000) + f(200001) >= 0);\n"
        )
        reward.take_figures()
        await scored(reward, slow + "int main() { return g(); }")
        figures = reward.take_figures()
        runs = {k: v for k, v in figures.items() if k.startswith("sandbox_runs.")}
        assert sum(runs.values()) == 1, runs
    finally:
        reward.kill()


MAIN = "\nint main() { return 0; }"
BOMBS = {
    "include-zero": '#include "/dev/zero"' + MAIN,
    "include-random": '#include "/dev/urandom"' + MAIN,
    "include-stdin": '#include "/dev/stdin"' + MAIN,
    "include-own": '#include __FILE__\n#include "/proc/self/fd/0"' + MAIN,
    "macros": "#define A0 x x x x x x x x x x\n"
    + "".join(f"#define A{i + 1} {f'A{i} ' * 10}\n" for i in range(12))
    + "A12"
    + MAIN,
    "templates": "template <int N, int M> struct F { static const long v = F<N - 1, M>::v + "
    "F<N - 1, M + 1>::v; };\ntemplate <int M> struct F<0, M> { static const long v = M; };\n"
    "long x = F<400, 0>::v;" + MAIN,
    "endless-templates": "template <class T> struct G { typename G<G<T>>::t x; };\nG<int> g;"
    + MAIN,
    "constexpr": "constexpr long f(int n) { long s = 0; for (int i = 0; i < n; i++)\n"
    "for (int j = 0; j < 200000; j++) s += i ^ j; return s; }\n"
    "static_assert(f(200000) != 1);" + MAIN,
    "deep-macros": "#define A ((((((((((\n#define B A A A A A A A A A A\n"
    "#define C B B B B B B B B B B\n#define D C C C C C C C C C C\nint x = "
    + "D " * 200
    + "1;"
    + MAIN,
    "nesting": "int x = " + "(" * 30_000 + "1" + ")" * 30_000 + ";" + MAIN,
    "large-data": "int a[1 << 28] = {1};" + MAIN,
    "assembler": '__asm__(".rept 2000000000\\n.quad 1\\n.endr");' + MAIN,
    "origin": '__asm__(".org 0x7fffffffff");' + MAIN,
    "linker": '__asm__(".section .note.x\\n.skip 0x7fffffff");' + MAIN,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_compile_bomb_is_wrong_within_its_limits(cpp: CodeTests, name: str) -> None:
    score = await scored(cpp, BOMBS[name], {"inputs": ["2"], "outputs": ["9"]})
    assert score.reward == 0.0
    assert score.components["verdict"] in (
        Ending.NO_PROGRAM, Ending.TIME_LIMIT, Ending.MEMORY_LIMIT, Ending.OUTPUT_LIMIT,
        Ending.WRONG,
    ), score.explanation  # fmt: skip
    assert (await scored(cpp, SQUARE)).reward == 1.0


C_SQUARE = (
    "#include <stdio.h>\nint square(n) int n; { return n * n; }\n"
    'int main(void) { int n, class = 1; scanf("%d", &n); printf("%d", class * square(n)); }'
)


@pytest.mark.parametrize(
    ("mark", "program"),
    [
        ("cpp", SQUARE),
        ("C++17", SQUARE),
        ("cc", SQUARE),
        ("c", C_SQUARE),
        ("python", "n = int(input())\nprint(n * n)"),
        ("", SQUARE),
        ("", "n = int(input())\nprint(n * n)"),
    ],
)
async def test_auto_goes_by_the_fence(auto: CodeTests, mark: str, program: str) -> None:
    score = await scored(auto, program, mark=mark)
    assert score.reward == 1.0, score.explanation


async def test_auto_goes_by_the_last_block_that_is_a_program(auto: CodeTests) -> None:
    example = Example(json_references={"tests": json.dumps(SQUARES)})
    python = "```python\nn = int(input())\nprint(n)\n```"
    snippet = "```cpp\nint x = 3;\n```"
    response = Response(f"First:\n{python}\nFaster:\n```cpp\n{SQUARE}\n```\nNote:\n{snippet}")
    assert (await auto.score(example, response)).reward == 1.0


async def test_a_reference_goes_before_the_fence(auto: CodeTests) -> None:
    assert (await scored(auto, SQUARE, mark="", language="GNU C++17 (64)")).reward == 1.0
    python = "n = int(input())\nprint(n * n)"
    score = await scored(auto, python, mark="python", language="C++")
    assert score.components["verdict"] == Ending.NO_PROGRAM
    assert (await scored(auto, python, mark="python", language="en")).reward == 1.0


async def test_of_tests_that_call_a_function_auto_is_python(auto: CodeTests) -> None:
    calls = {"fn_name": "f", "inputs": [[3]], "outputs": [9]}
    assert (await scored(auto, "def f(n): return n * n", calls, mark="python")).reward == 1.0


async def test_cpp_wants_stdin_and_stdout(cpp: CodeTests) -> None:
    calls = {"fn_name": "f", "inputs": [[3]], "outputs": [9]}
    with pytest.raises(InvalidReference, match="the tests are Python; a cpp program"):
        await scored(cpp, SQUARE, calls)


async def test_thoughts_are_no_program_and_the_likeliest_candidate_compiles(cpp: CodeTests) -> None:
    example = Example(json_references={"tests": json.dumps(SQUARES)})
    thoughts = f"<think>```cpp\n{SQUARE}\n```</think>I do not know."
    assert (await cpp.score(example, Response(thoughts))).components["parsed"] == 0.0
    sketch = "```cpp\nint main() { /* as above, but */ ...; }\n```"
    response = Response(f"```cpp\n{SQUARE}\n```\nIn short:\n{sketch}")
    assert (await cpp.score(example, response)).reward == 1.0


async def test_each_test_has_its_time_and_verdict_in_the_details(cpp: CodeTests) -> None:
    program = IO + (
        'int main() { int n; scanf("%d", &n); if (n == 3) for (volatile int i = 0;; i = i + 1);\n'
        'printf("%d", n * n); }'
    )
    score = await scored(cpp, program)
    details = json.loads(score.details_json)
    assert details["passed"] == [True, False, True]
    assert details["cpu_s"][1] > 0.9 > details["cpu_s"][0]
    assert score.components["verdict"] == Ending.TIME_LIMIT


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    toolchain.find.cache_clear()
    try:
        with pytest.raises(CompilerMissing, match=r"no g\+\+ on this host; install g\+\+ where"):
            made(language="cpp")
    finally:
        toolchain.find.cache_clear()
