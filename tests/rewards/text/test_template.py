"""Templates: one pass, JSON paths, and nothing of Python to be reached."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.text.template import (
    MissingKey,
    TemplateFault,
    TooLong,
    find,
    placeholders,
    render,
    steps,
    text_of,
)

ROOT: dict[str, Any] = {
    "item": {
        "answer": "18",
        "rows": [{"n": 1}, {"n": [True, None]}],
        "two words": "yes",
        "with-dash": "dashed",
    },
    "sample": {"output_text": "{{ item.answer }}", "output_json": {"é": 1.5}},
}


def filled(template: str, root: dict[str, Any] = ROOT) -> str:
    return render(template, lambda path: text_of(find(path, root), path))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{item.answer}}", "18"),
        ("{{ item.answer }}{{item.answer}}", "1818"),
        ("{{\n item.answer\t}}", "18"),
        ("{{ item.rows[0].n }}", "1"),
        ("{{ item.rows[1].n[0] }} {{ item.rows[1].n[1] }}", "true null"),
        ("{{ item.rows }}", '[{"n":1},{"n":[true,null]}]'),
        ("{{ item.two words }} {{ item.with-dash }}", "yes dashed"),
        ("{{ sample.output_json }}", '{"é":1.5}'),
        # Data is never template.
        ("{{ sample.output_text }}", "{{ item.answer }}"),
        # Braces without a path stay.
        (
            "\\frac{{1}}{2} {} {{}} {{ }} { item } {{ 1 }}",
            "\\frac{{1}}{2} {} {{}} {{ }} { item } {{ 1 }}",
        ),
        ("{{ item.answer", "{{ item.answer"),
        ("{{{ item.answer }}}", "{18}"),
    ],
)
def test_what_it_means(template: str, text: str) -> None:
    assert filled(template) == text


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("item.anwser", "did you mean 'answer'?"),
        ("nothing", "there are: item, sample"),
        ("item.rows[2]", "the list has 2 elements"),
        ("item.rows.n", "'n' is looked for in list"),
        ("item.answer.upper", "'upper' is looked for in str"),
        ("item.answer[0]", "0 is looked for in str"),
        ("item.__class__", "there is no '__class__'"),
        ("item.keys", "there is no 'keys'"),
        ("item.rows[-1]", "want names with dots"),
        ("item.rows[x]", "want names with dots"),
        ("item..answer", "want names with dots"),
        ("item.", "want names with dots"),
        ("item.answer | upper", "there is no"),
        ("item.answer()", "there is no"),
        ("a" + ".a" * 64, "longer than 64 steps"),
    ],
)
def test_paths_that_lead_nowhere(path: str, why: str) -> None:
    with pytest.raises(MissingKey) as fault:
        filled(f"{{{{ {path} }}}}")
    assert why in str(fault.value)
    assert fault.value.path == path


def test_the_placeholders_of_a_template() -> None:
    assert placeholders("{{b}} {{ a.c[0] }} {{b}} {{1}}") == ("b", "a.c[0]")
    assert steps("a.c[0][1].d") == ("a", "c", 0, 1, "d")


def test_a_long_text_is_refused() -> None:
    with pytest.raises(TooLong):
        render("{{ a }}" * 40, lambda _: "x" * 2**20)


def test_a_value_that_is_no_json() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, object(), {1: object()}):
        with pytest.raises(MissingKey, match="cannot be written"):
            text_of(value, "a")
    while deep:  # freed level by level: all at once would recurse
        deep = deep.pop()


WORDS = ["item", "sample", "answer", "rows", "output_text", "__class__", "__init__", "mro"]
PIECES = ["{{", "}}", "{", "}", ".", "[0]", "[1]", "[", "]", " ", "\n", *WORDS]
TEMPLATES = st.lists(st.sampled_from(PIECES), max_size=24).map("".join) | st.text(max_size=60)


def nothing_but_data_comes_out(template: str, value: str) -> None:
    root = {"item": {"answer": value, "rows": [value]}, "sample": {"output_text": value}}
    try:
        text = filled(template, root)
    except TemplateFault:
        return
    paths = placeholders(template)
    if not paths:
        assert text == template
    # Whatever was filled in is a value of the data, which reads as JSON or is the text itself.
    for path in paths:
        shown = text_of(find(path, root), path)
        assert shown in text
        assert shown == value or json.loads(shown) in (root["item"], root["sample"], [value])


@settings(max_examples=400, deadline=None)
@given(TEMPLATES, st.text(max_size=10) | st.just("{{ item.answer }}"))
def test_any_template_is_filled_with_data_or_refused(template: str, value: str) -> None:
    nothing_but_data_comes_out(template, value)


def test_ten_thousand_templates() -> None:
    """Others each time; hypothesis would take two milliseconds to make each."""
    chance = random.Random()
    for _ in range(10_000):
        template = "".join(chance.choices(PIECES, k=chance.randrange(25)))
        value = "".join(chr(chance.randrange(1, 0xD800)) for _ in range(chance.randrange(11)))
        nothing_but_data_comes_out(template, chance.choice([value, "{{ item.answer }}"]))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_a_value_comes_out_as_it_went_in(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", ""), after.replace("{", "").replace("}", "")
    assert render(f"{before}{{{{ x }}}}{after}", lambda _: value) == before + value + after


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_a_path_is_read_or_refused(path: str) -> None:
    try:
        assert all(isinstance(step, str | int) for step in steps(path))
    except MissingKey:
        return
