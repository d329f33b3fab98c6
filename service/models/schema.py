"""Answers that are held to a JSON schema while they are written, by llguidance (extra `judge`).

Before each token, all those are ruled out after which no answer of the schema could follow.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

_log = logging.getLogger(__name__)

MAX_GRAMMARS = 256
"""Schemas whose grammars are kept, those used last."""


class Schemas:
    """The schemas of one tokenizer's model; `vocabulary`: how many logits it has."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        from llguidance import LLTokenizer

        text = tokenizer.backend_tokenizer.to_str()
        without_limits = {**json.loads(text), "truncation": None, "padding": None}
        self._tokenizer = LLTokenizer(
            json.dumps(without_limits), n_vocab=vocabulary, eos_token=[*ends]
        )
        self._ends = list(ends)
        self._grammars: OrderedDict[str, str] = OrderedDict()

    def held(self, schemas: Sequence[Mapping[str, Any] | None]) -> Held | None:
        """What holds rows to their schemas, for `logits_processor`; None: there are none."""
        matchers = [None if schema is None else self._matcher(schema) for schema in schemas]
        return Held(matchers, self._ends) if any(matchers) else None

    def _matcher(self, schema: Mapping[str, Any]) -> Any:
        from llguidance import LLMatcher

        key = json.dumps(schema, sort_keys=True)
        grammar = self._grammars.get(key)
        if grammar is None:
            grammar = self._grammar(key)
            self._grammars[key] = grammar
            if len(self._grammars) > MAX_GRAMMARS:
                self._grammars.popitem(last=False)
        self._grammars.move_to_end(key)
        return LLMatcher(self._tokenizer, grammar) if grammar else None

    def _grammar(self, schema: str) -> str:
        from llguidance import LLMatcher

        # Weak models fill an answer with blanks until it is cut, where the grammar lets them.
        grammar = LLMatcher.grammar_from_json_schema(schema, {"whitespace_flexible": False})
        fault = LLMatcher.validate_grammar(grammar, self._tokenizer)
        if fault:
            # The answer is read by the same rules as of a model that knows no schemas.
            _log.warning("an answer is not held to its schema: %s: %s", fault, schema[:1_000])
            return ""
        return grammar


class Held:
    """A `LogitsProcessor` for the rows of one generation; it begins with their first new token."""

    def __init__(self, matchers: Sequence[Any], ends: Sequence[int]) -> None:
        self._matchers = matchers
        self._ends = ends
        self._began = False

    def __call__(self, ids: Any, scores: Any) -> Any:
        """The scores, with minus infinity where no answer of the schema could go on."""
        import numpy as np
        import torch

        for row, matcher in enumerate(self._matchers):
            if matcher is None:
                continue
            if self._began and not matcher.is_stopped():
                matcher.consume_token(int(ids[row, -1]))
            if matcher.is_stopped():  # the answer is whole: nothing but its end may follow
                ruled_out = torch.ones(scores.shape[1], dtype=torch.bool)
                ruled_out[self._ends] = False
            else:
                mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)
                bits = np.unpackbits(mask, bitorder="little")[: scores.shape[1]]
                ruled_out = torch.from_numpy(bits == 0)
            scores[row, ruled_out.to(scores.device)] = -torch.inf
        self._began = True
        return scores
