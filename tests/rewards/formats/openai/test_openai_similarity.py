"""The metrics of `text_similarity` have the values that their libraries publish."""

from __future__ import annotations

import pytest
from rewardplane.rewards.formats.openai.similarity import similarity
from rewardplane.rewards.types import InvalidReference

GUIDE = (
    "It is a guide to action which ensures that the military always obeys the commands of the party"
)
OTHER = "It is a guide to action that ensures that the military will forever heed Party commands"
FOX = "The quick brown fox jumps over the lazy dog"
DOG = "The quick brown dog jumps on the log."


@pytest.mark.parametrize(
    ("metric", "text", "reference", "wanted", "places"),
    [
        # https://rapidfuzz.github.io/RapidFuzz: fuzz.ratio("this is a test", "this is a test!")
        ("fuzzy_match", "this is a test!", "this is a test", 0.9655172, 6),
        # The docstrings of nltk.translate: bleu_score, gleu_score and meteor_score.
        ("bleu", GUIDE, OTHER, 0.4118, 4),
        ("gleu", GUIDE, OTHER, 0.4393, 3),
        ("meteor", GUIDE, OTHER, 0.6944, 4),
        # The README of rouge-score, there with a stemmer, which changes nothing in these words
        # but for "jumps", the same on both sides.
        ("rouge_1", DOG, FOX, 0.7058823529411765, 9),
        ("rouge_l", DOG, FOX, 0.5882352941176471, 9),
        # By hand: bigrams 2 of 7 and 8; trigrams 1 of 6 and 7; none longer.
        ("rouge_2", DOG, FOX, 2 * (2 / 7) * (2 / 8) / (2 / 7 + 2 / 8), 9),
        ("rouge_3", DOG, FOX, 2 * (1 / 6) * (1 / 7) / (1 / 6 + 1 / 7), 9),
        ("rouge_4", DOG, FOX, 0.0, 9),
        ("rouge_5", DOG, FOX, 0.0, 9),
    ],
)
def test_similarity_has_the_published_values(
    metric: str, text: str, reference: str, wanted: float, places: int
) -> None:
    assert similarity(metric, text, reference) == pytest.approx(wanted, abs=0.6 * 10**-places)


METRICS = ["fuzzy_match", "bleu", "gleu", "rouge_1", "rouge_2", "rouge_5", "rouge_l"]


@pytest.mark.parametrize("metric", [*METRICS, "meteor", "rouge_3", "rouge_4"])
def test_bounds_of_similarity(metric: str) -> None:
    text = "one two three four five six"
    # METEOR has a penalty for fragments, of which even equal texts are one.
    assert similarity(metric, text, text) == pytest.approx(1.0, abs=0.003)
    assert similarity(metric, "", text) == 0.0
    assert 0 <= similarity(metric, "ß", text) <= 0.2


def test_short_texts_and_other_scripts_are_not_zero() -> None:
    assert similarity("bleu", "yes", "yes") == 1.0
    assert similarity("rouge_1", "привет мир", "привет") == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", ["bleu", "gleu", "meteor", "rouge_1", "rouge_l"])
def test_a_reference_without_words_is_none(metric: str) -> None:
    with pytest.raises(InvalidReference):
        similarity(metric, "x", " ")
