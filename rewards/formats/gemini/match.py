"""String match and JSON match."""

from __future__ import annotations

import json
from typing import Any, cast

from ...reading.json_text import NoJson, read_json
from ...text.pattern import compiled
from ...types import Example, InvalidInput, InvalidReference, Response
from .options import Undocumented
from .prompt import escaped, filled_gold, has_references
from .schema import JsonMatchExpression, MatchOperation, StringMatchExpression, StringMatchScorer


class StringMatch:
    """The reward for right or for wrong."""

    def __init__(self, scorer: StringMatchScorer, options: Undocumented) -> None:
        """Takes a scorer that `checks` found sound."""
        self._scorer = scorer
        self._options = options

    def score(self, example: Example, response: Response, parsed: str | None) -> float:
        """Right where the expression is true of the parsed response.

        Raises:
            InvalidReference: a reference is missing or empty, or makes no expression.
            InvalidInput: there is no answer, and the options make an error of it.
        """
        scorer = self._scorer
        if parsed is not None and scorer.json_match_expression is not None:
            parsed = self._value(parsed, scorer.json_match_expression)
        if parsed is None:
            if self._options.no_answer == "error":
                raise InvalidInput("the response has no answer to match")
            return scorer.wrong_answer_reward
        expression = expression_of(scorer)
        is_right = matches(expression, example, response, parsed, self._options)
        return scorer.correct_answer_reward if is_right else scorer.wrong_answer_reward

    def examine(self, example: Example) -> None:
        """Fills the expression.

        Raises:
            InvalidReference: a reference is missing or empty, or makes no expression.
        """
        matches(expression_of(self._scorer), example, Response(""), "", self._options)

    def _value(self, text: str, match: JsonMatchExpression) -> str | None:
        try:
            document = read_json(text)
        except NoJson:
            return None
        if not isinstance(document, dict) or match.key_name not in document:
            return None
        value = cast("dict[str, Any]", document)[match.key_name]
        if isinstance(value, str):
            return value
        if self._options.json_values == "wrong":
            return None
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def expression_of(scorer: StringMatchScorer) -> StringMatchExpression:
    """The expression, wherever it stands."""
    if scorer.json_match_expression is not None:
        found = scorer.json_match_expression.value_string_match_expression
    else:
        found = scorer.string_match_expression
    return found or StringMatchExpression()


def matches(
    match: StringMatchExpression,
    example: Example,
    response: Response,
    target: str,
    options: Undocumented,
) -> bool:
    """Whether the expression, with its references filled in, is true of `target`.

    Raises:
        InvalidReference: a reference is missing or empty, or makes no expression.
    """
    is_regex = match.match_operation is MatchOperation.REGEX_CONTAINS
    escape = escaped if is_regex and options.escape_references else None
    is_exact = match.match_operation is MatchOperation.EXACT_MATCH
    expression = filled_gold(
        match.expression, example, response, options, escape=escape, exact=is_exact
    )
    if is_exact:
        return expression == target
    if not is_regex:
        return expression in target
    try:
        pattern = compiled(expression, dot_nl=options.dot_matches_newline)
    except ValueError as error:
        if not has_references(match.expression):
            raise
        raise InvalidReference(f"with its references, {expression[:200]!r} is {error}") from None
    return pattern.search(target.encode("utf-8", "replace")) is not None
