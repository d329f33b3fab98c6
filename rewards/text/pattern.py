"""Regular expressions of RE2: no look-around, no back-references, and linear time for every text.

Syntax: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2


@lru_cache(maxsize=4096)
def compiled(pattern: str, *, dot_nl: bool = False, captures: bool = True) -> Any:
    """An expression, for texts as UTF-8: of a str the binding works out offsets, six times slower.

    `dot_nl`: ``.`` matches a line end too. `captures`: without, groups cost no time.

    Raises:
        ValueError: it is none, or needs too much memory.
    """
    untyped: Any = re2
    options = untyped.Options()
    options.log_errors = False
    options.dot_nl = dot_nl
    options.never_capture = not captures
    try:
        return untyped.compile(pattern.encode(), options)
    except untyped.error as error:
        reason: Any = error.args[0] if error.args else "unknown fault"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not an RE2 expression: {text}") from None
    except UnicodeEncodeError:
        raise ValueError("not an RE2 expression: it holds a lone surrogate") from None
