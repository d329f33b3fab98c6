"""How answers are written: spellings, units, numbers in a base, words, clauses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.reading.based import based
from rewardplane.rewards.reading.candidates import Candidate
from rewardplane.rewards.reading.choice import gold_letters, letters
from rewardplane.rewards.reading.notation import (
    canonical,
    has_prose,
    head,
    head_of_words,
    is_filler,
    latex,
    nesting,
    same_words,
    words_of,
)
from rewardplane.rewards.reading.number import Numeral, read
from rewardplane.rewards.reading.one_number import NoNumber, one_number
from rewardplane.rewards.reading.units import without_units


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"),
        ("- 18", "-18"),
        ("minus 18", "-18"),
        ("negative 18", "-18"),
        ("-$18", "-18"),
        ("$ -18", "-18"),
        ("US$ 18", "18"),
        ("43 279", "43279"),
        ("1 234 567.5", "1234567.5"),
        ("1,234.5", "1234.5"),
        ("1'000", "1000"),
        ("0,111", "0.111"),
        ("2.3e+24", "2.3e24"),
        ("2.3E-19", "2.3e-19"),
        (r"6.02 \times 10^{23}", "6.02e23"),
        (r"2.3\cdot 10^{-19}", "2.3e-19"),
        ("2.3x10^-19", "2.3e-19"),
        ("2.3 * 10**(-19)", "2.3e-19"),
        (r"2.3 \times {10}^{-19}", "2.3e-19"),
        ("10^6", "1e6"),
        ("-10^{-6}", "-1e-6"),
        ("1.5 million", "1.5e6"),
        ("3 hundred", "300"),
        ("2 billions", "2e9"),
    ],
)
def test_a_number_in_any_spelling(text: str, value: str) -> None:
    assert read(text) == Numeral(Decimal(value))


def test_fractions_in_any_spelling() -> None:
    three_quarters = Numeral(Decimal(3), Decimal(4))
    for text in ("3/4", "3 / 4", r"\frac34", r"\frac{3}{4}", r"\frac 3 4", r"\frac3{4}"):
        assert read(text) == three_quarters, text
    for text in ("1 1/2", r"1\frac{1}{2}", r"1 \frac12"):
        assert read(text) == Numeral(Decimal(3), Decimal(2)), text
    assert read(r"-1\frac{1}{2}") == Numeral(Decimal(-3), Decimal(2))
    assert read("12 percent") == read("12%") == Numeral(Decimal(12), percent=True)


@pytest.mark.parametrize(
    "text", ["", "x", "--1", "1.2.3", "1,23", "12 345 6", "1/0", "1e999999", "4 32", "2x", "18 19"]
)
def test_what_is_no_number(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("$18$", "18"),
        (" **18**. ", "18"),
        (r"\(x\)", "x"),
        ("$$5$$.", "5"),
        ("`7`", "7"),
        ("_18_", "18"),
        ("１８", "18"),
        ("$1$ and $2$", "$1$ and $2$"),
        ("$125$ miles", "125 miles"),
        (r"43\,279", "43 279"),
        (r"11,\! 111", "11,111"),
        (r"14{,}916", "14,916"),
        (r"2\mathrm{e}", "2 e"),
        (r"\mathrm{e}^2", "e^2"),
        (r"{\rm e}^2", "e^2"),
        (r"3+2\text{i}", "3+2 i"),
        (r"\left( \dfrac12 \right)", r"( \frac12 )"),
        (r"\begin{pmatrix}1\\ 2\end{pmatrix}", r"\begin{pmatrix}1\\ 2\end{pmatrix}"),
        ("2×10⁻⁵", r"2\times 10^{-5}"),
        ("203₅", "203_{5}"),
        (r"\text{The answer is } 3", "3"),
        ("5!", "5!"),
        ("$", "$"),
        ("", ""),
    ],
)
def test_one_spelling(text: str, plain: str) -> None:
    assert canonical(text) == plain


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("43 m^2", "43"),
        ("43 m/s", "43"),
        ("43 °C", "43"),
        (r"43\,cm^2", "43"),
        ("12π square centimeters", r"12\pi"),
        (r"12\pi \text{ cm}^2", r"12\pi"),
        (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}"),
        (r"\frac{1}{3} \textbf{meters}", r"\frac{1}{3}"),
        (r"43 \mathrm{m/s^2}", "43"),
        ("18 km h^{-1}", "18"),
        ("18 miles per hour", "18"),
        ("18 students", "18"),
        ("1,000.99m²", "1,000.99"),
        ("18元", "18"),
        ("18 €", "18"),
        ("-$18", "-18"),
        ("Rs. 18", "18"),
        ("1.5 million people", "1.5 million"),
        # What is no unit.
        (r"2\mathrm{e}", "2 e"),
        (r"3+2\mathrm{i}", "3+2 i"),
        (r"x + \text{C}", "x + C"),
        ("2c", "2c"),
        ("2x", "2x"),
        (r"5\text{x}", "5 x"),
        (r"2\pi r", r"2\pi r"),
        ("x m", "x m"),
        ("5 percent", "5 percent"),
        ("3 halves", "3 halves"),
        (r"3 \text{ or } 4", r"3 \text{ or } 4"),
        ("3 or 4", "3 or 4"),
        ("5!", "5!"),
        ("", ""),
    ],
)
def test_units(text: str, body: str) -> None:
    assert without_units(canonical(text)) == body


@pytest.mark.parametrize(
    ("text", "digits", "value"),
    [
        ("203_5", "203", 53),
        ("203_{5}", "203", 53),
        (r"203_{\text{five}}", "203", 53),
        ("(203)_5", "203", 53),
        ("203 base 5", "203", 53),
        ("203 (base 5)", "203", 53),
        ("-11_2", "11", -3),
        ("1A_{16}", "1A", 26),
    ],
)
def test_numbers_in_a_base(text: str, digits: str, value: int) -> None:
    found = based(text)
    assert found is not None
    assert (found.digits, found.value) == (digits, value)


@pytest.mark.parametrize("text", ["203", "x_1", "29_5", "a_2", "1_1", "1_99", "_5", "base 5"])
def test_what_is_in_no_base(text: str) -> None:
    assert based(text) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("18, which is even", "18"),
        ("18 because of it", "18"),
        ("18. Note: the answer", "18"),
        ("18 (since 9*2)", "18"),
        ("18; done", "18"),
        ("18 dollars, so she has 3", "18 dollars"),
        ("x = 2 or x = 3", "x = 2 or x = 3"),
        ("x = 3, y = 4", "x = 3, y = 4"),
        ("18, 19", "18, 19"),
        ("18.5", "18.5"),
    ],
)
def test_what_is_stated_before_the_words_about_it(text: str, stated: str) -> None:
    assert head(text) == stated


def test_words() -> None:
    assert words_of(r"\text{No Solution}.") == words_of("no solution") == "no solution"
    assert words_of("x^2") == words_of("infinity") == words_of("5 apples") == ""
    assert words_of("the east") == "east"
    assert same_words("triangles", "triangle")
    assert same_words("boxes", "box")
    assert same_words("bus", "bus")
    assert not same_words("yes", "ye")
    assert not same_words("odd", "even")
    assert head_of_words("Monday, because then it rains") == "Monday"
    assert head_of_words("True, False") == "True, False"
    assert is_filler("correct")
    assert is_filler("rounded to the nearest integer")
    assert not is_filler("Monday")
    assert has_prose("18 because of it")
    assert not has_prose(r"\sin x + \text{for all} y and sqrt(2)")
    assert latex("sqrt(2) + 2pi + 1 1/2") == r"\sqrt{2} + 2\pi  + 1\frac{1}{2}"
    assert latex("43 279") == "43279"


def test_nesting() -> None:
    assert [nesting(t) for t in ("", "x", "(a)(b)", "{([", "))((", "a[b{c}]")] == [0, 0, 1, 3, 2, 2]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *(("B", "B"), ("(B)", "B"), ("B.", "B"), ("B) 45 cm", "B"), ("option B", "B"), ("b", "B")),
        *(
            (r"\text{(B)}", "B"),
            ("B, because it is", "B"),
            ("(B) 45 cm", "B"),
            ("C is correct", "C"),
        ),
        *(
            ("A, B and C", "ABC"),
            ("A,C", "AC"),
            ("AC", "AC"),
            ("both A and C", "AC"),
            ("(A) (C)", "AC"),
        ),
        *(("A or C", ""), ("(B) or (C)", "")),
    ],
)
def test_letters(text: str, named: str) -> None:
    assert letters(text) == frozenset(named)
    assert gold_letters(text) == (frozenset(named) or None)


@pytest.mark.parametrize(
    "text",
    [
        "A triangle",
        "I think it is (C)",
        "A is wrong, so B",
        "I don't know",
        "E=mc^2",
        "A+B",
        "C_1",
        "a cat",
    ],
)
def test_what_names_no_choice(text: str) -> None:
    assert letters(text) is None


@settings(deadline=None)
@given(st.text("AB(),or and.C-\\text{}$* ", max_size=60))
def test_letters_are_those_of_the_text(text: str) -> None:
    named = letters(text)
    assert named is None or all(letter in text.upper() for letter in named)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.text("0123456789.,-+$%e/= \\{}()^ormilion", max_size=60)))
def test_any_text_gives_a_number_or_says_why_not(text: str) -> None:
    for source in ("boxed", "stated", "free"):
        found = one_number(Candidate(text, source))  # type: ignore[arg-type]
        assert isinstance(found, Numeral | NoNumber)
    assert isinstance(without_units(canonical(text)), str)
