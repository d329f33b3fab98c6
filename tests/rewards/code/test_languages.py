"""What a program is written in, as fences and data sets name it."""

from __future__ import annotations

import pytest
from rewardplane.rewards.code.candidates import find_candidates, language_named, language_of

MAIN = "int main() { return 0; }"


@pytest.mark.parametrize(
    "mark",
    [
        *("cpp", "c++", "C++", "C++17", "c++11", "c++23", "c++2a", "cpp17", "cpp20", "cc", "cxx"),
        *("g++", "gnu++17", "cplusplus", "cpp title=main.cpp", "{.cpp}", ""),
    ],
)
def test_a_fence_of_cpp(mark: str) -> None:
    text = f"So:\n```{mark}\n#include <cstdio>\n{MAIN}\n```\n"
    assert find_candidates(text, language="cpp")[0].endswith(f"{MAIN}\n")
    assert language_of(text) == "cpp"


@pytest.mark.parametrize("mark", ["c", "C", "c99", "c11", "gnu11"])
def test_a_fence_of_c(mark: str) -> None:
    assert language_of(f"```{mark}\n{MAIN}\n```") == "c"


@pytest.mark.parametrize("mark", ["csharp", "c#", "css", "cuda", "clojure", "ccs", "java"])
def test_a_fence_of_another_language_is_no_program(mark: str) -> None:
    assert find_candidates(f"```{mark}\n{MAIN}\n```", language="cpp") == []


@pytest.mark.parametrize(
    ("name", "language"),
    [
        *((n, "cpp") for n in ("cpp", "C++", "C++17 (GCC 7-32)", "GNU C++20 (64)", "CPP", "g++")),
        *((n, "cpp") for n in ("MS C++ 2017", "cpp17", "Clang++17 Diagnostics")),
        *((n, "python") for n in ("python", "PYTHON3", "Python 3", "PyPy 3-64", "py", "py3")),
        *((n, "c") for n in ("c", "C", "GNU C11", "c17")),
        *((n, None) for n in ("C#", "csharp", "Java 11", "en", "ca", "cs", "pyret", "", None, 3)),
    ],
)
def test_a_data_sets_name(name: object, language: str | None) -> None:
    assert language_named(name) == language
