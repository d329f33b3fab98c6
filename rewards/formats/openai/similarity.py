"""How close two texts are, by libraries: rapidfuzz, NLTK and rouge-score.

=========== ===================================================================================
fuzzy_match `rapidfuzz.fuzz.ratio` / 100
bleu        NLTK's sentence BLEU, NIST smoothing, orders up to the length of a short text
gleu        NLTK's sentence GLEU
meteor      NLTK's METEOR: exact and stem stages; no synonyms, which need WordNet's data
rouge_1 … 5 F1 of n-grams, rouge-score, without stemming
rouge_l     F1 of the longest common subsequence, as rouge-score's, counted by rapidfuzz
=========== ===================================================================================

Words are NLTK's (Treebank), for ROUGE runs of letters and digits of any script.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ...types import InvalidReference

_WORD = re.compile(r"[^\W_]+")


class _NoSynonyms:
    def synsets(self, word: str) -> list[Any]:
        del word
        return []


class _Words:
    """As rouge-score's own for ASCII; that one drops all other letters."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


def similarity(metric: str, text: str, reference: str) -> float:
    """The similarity of the text to the reference, 0 to 1. The time grows with their product.

    Raises:
        InvalidReference: the reference is empty, or has no words where words are compared.
    """
    if metric == "fuzzy_match":
        from rapidfuzz import fuzz

        _want_words(reference.split())
        return fuzz.ratio(text, reference) / 100
    measure = _measures()[metric]
    return float(measure(text, reference))


@cache
def _measures() -> Mapping[str, Callable[[str, str], float]]:
    from nltk import tokenize
    from nltk.translate import bleu_score, gleu_score, meteor_score
    from rapidfuzz.distance import LCSseq
    from rouge_score import rouge_scorer

    bleus, gleus = _untyped(bleu_score), _untyped(gleu_score)
    meteors, rouges = _untyped(meteor_score), _untyped(rouge_scorer)
    words: Callable[[str], list[str]] = _untyped(tokenize).NLTKWordTokenizer().tokenize
    smoothed: Any = bleus.SmoothingFunction().method3

    def of_words(measure: Callable[[list[str], list[str]], float]) -> Callable[[str, str], float]:
        def measured(text: str, reference: str) -> float:
            want, got = words(reference), words(text)
            _want_words(want)
            return measure(want, got) if got else 0.0

        return measured

    def bleu(want: list[str], got: list[str]) -> float:
        return bleus.sentence_bleu([want], got, smoothing_function=smoothed, auto_reweigh=True)

    def meteor(want: list[str], got: list[str]) -> float:
        return meteors.single_meteor_score(want, got, wordnet=_NoSynonyms())

    def rouge(kind: str) -> Callable[[str, str], float]:
        scorer: Any = rouges.RougeScorer([kind], tokenizer=_Words())

        def measured(text: str, reference: str) -> float:
            _want_words(_WORD.findall(reference))
            return scorer.score(reference, text)[kind].fmeasure

        return measured

    def rouge_l(text: str, reference: str) -> float:
        # rouge-score fills a table of both lengths in Python here: seconds for 16 kB.
        want, got = _Words().tokenize(reference), _Words().tokenize(text)
        _want_words(want)
        return 2 * LCSseq.similarity(got, want) / (len(got) + len(want))

    return {
        "bleu": of_words(bleu),
        "gleu": of_words(lambda want, got: gleus.sentence_gleu([want], got)),
        "meteor": of_words(meteor),
        **{f"rouge_{n}": rouge(f"rouge{n}") for n in range(1, 6)},
        "rouge_l": rouge_l,
    }


def _untyped(module: Any) -> Any:
    return module


def _want_words(found: list[str]) -> None:
    if not found:
        raise InvalidReference("the reference has no words to compare with")
