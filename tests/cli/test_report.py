"""The pages of `score --report` and `compare`: right in number, safe, and seen by a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.cli.commands import app
from rewardplane.cli.compare import compared
from rewardplane.cli.dataset import BadLine
from rewardplane.cli.records import Item, items_of, line_of, read_items
from rewardplane.cli.report import SAMPLES, gathered, report
from rewardplane.rewards.types import (
    Content,
    Example,
    Outcome,
    Part,
    Reason,
    Response,
    Score,
    ScoreError,
)
from typer.testing import CliRunner

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script></pre><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def item(outcome: Outcome, response: str = "A: 18", name: str = "a") -> Item:
    return Item(name, "9+9?", response, outcome)


def many() -> list[Item]:
    """1,000 scores 0, 0.1 … 0.9, and 30 errors of two reasons."""
    scores = [item(Score(n % 10 / 10, {"part": n % 3}), "x" * n, f"i{n}") for n in range(1000)]
    raised = [item(ScoreError(Reason.RAISED, f"ValueError: {EVIL}"), EVIL) for _ in range(10)]
    slow = [item(ScoreError(Reason.TIMED_OUT, "executed longer than 1 s"))] * 20
    return [*scores, *raised, *slow]


class Page(HTMLParser):
    """What stands in a page: the tags, and the text of each cell and each pre."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, list[str]] = {"td": [], "pre": [], "summary": [], "title": []}
        self.sources: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag in self.texts:
            self._inside = tag
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data


def test_the_page_counts_and_shows_a_few_of_each() -> None:
    page = Page(report("math", gathered(many())))
    cells = page.texts["td"]
    assert cells[:6] == ["items", "1,030", "scored", "1,000", "without a reward", "30"]
    assert cells[6:] == ["TIMED_OUT", "20", "RAISED", "10"]
    heads = page.texts["summary"]
    assert sum(head.startswith("RAISED") for head in heads) == 10
    assert sum(head.startswith("0 ") for head in heads) == SAMPLES
    assert sum(head.startswith("0.9 ") for head in heads) == SAMPLES
    assert len(heads) == 2 * SAMPLES + 30


def test_what_a_response_says_stays_text_and_nothing_is_fetched() -> None:
    page = Page(report(EVIL, gathered(many())))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert page.sources == []
    assert EVIL in page.texts["pre"]


def test_a_page_without_scores_or_without_errors_is_a_page_too() -> None:
    for items in ([], [item(Score(1.0))], [item(ScoreError(Reason.RAISED, "no"))]):
        assert Page(report("r", gathered(items))).tags.count("h1") == 1


OUTCOMES = st.one_of(
    st.builds(
        Score,
        st.floats(allow_nan=False, allow_infinity=False),
        st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False)),
        st.text(),
        st.just(()),
        st.text(),
    ),
    st.builds(ScoreError, st.sampled_from(list(Reason)), st.text()),
)


@given(st.lists(st.tuples(st.text(), OUTCOMES), min_size=1, max_size=5), st.text(), st.text())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    given_items: list[tuple[str, Outcome]],
    prompt: str,
    name: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    example = Example(contents=[Content("user", [Part(prompt)])], id=name)
    responses = [Response(text) for text, _ in given_items]
    items = list(items_of(example, responses, [outcome for _, outcome in given_items]))
    path.write_bytes(line_of(items).encode("utf-8", "surrogatepass"))
    assert list(read_items(path)) == items


def written(path: Path, items: list[Item]) -> Path:
    path.write_text("".join(line_of([each]) for each in items))
    return path


def failed(reason: Reason) -> ScoreError:
    return ScoreError(reason, "")


def test_a_comparison_tells_what_changed_with_the_largest_change_first(tmp_path: Path) -> None:
    pairs: list[tuple[Outcome, Outcome]] = [
        (Score(1.0), Score(1.0)),
        (Score(0.0), Score(0.25)),
        (Score(0.0), Score(1.0)),
        (Score(1.0), Score(0.0)),
        (Score(1.0), failed(Reason.RAISED)),
        (failed(Reason.RAISED), Score(0.5)),
        (failed(Reason.RAISED), failed(Reason.RAISED)),
        (failed(Reason.RAISED), failed(Reason.TIMED_OUT)),
    ]
    a, b = ([item(pair[side], name=f"i{n}") for n, pair in enumerate(pairs)] for side in (0, 1))
    found = compared(a, b)
    assert dict(found.changes) == {
        "equal": 2,
        "higher": 2,
        "lower": 1,
        "no reward any more": 1,
        "a reward now": 1,
        "another reason": 1,
    }
    heads = Page(found.page("two")).texts["summary"]
    assert [head.split(" · ")[:2] for head in heads] == [
        ["0 → 1", "i2"],
        ["0 → 0.25", "i1"],
        ["1 → 0", "i3"],
        ["1 → RAISED", "i4"],
        ["RAISED → 0.5", "i5"],
        ["RAISED → TIMED_OUT", "i7"],
    ]
    paths = [written(tmp_path / "a.jsonl", a), written(tmp_path / "b.jsonl", b)]
    out = tmp_path / "out.html"
    arguments = ["compare", *map(str, paths), "--report", str(out)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert re.search(r"higher\W+2", told.output)
    assert "0 → 0.25" in out.read_text()


@pytest.mark.parametrize("change", ["fewer", "others", "no record"])
def test_files_of_different_items_are_not_compared(tmp_path: Path, change: str) -> None:
    items = many()
    others = {
        "fewer": items[:-1],
        "others": [items[1], items[0], *items[2:]],
        "no record": items,
    }[change]
    a, b = written(tmp_path / "a.jsonl", items), written(tmp_path / "b.jsonl", others)
    if change == "no record":
        b.write_text(json.dumps({"reward": 1}))
    with pytest.raises(BadLine):
        compared(read_items(a), read_items(b))
    assert CliRunner().invoke(app, ["compare", str(a), str(b)]).exit_code == 1


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    text = report("math", gathered(many()))
    # What a person would type, before the page is looked at.
    typed = "<script>box.value='i499 response'; box.dispatchEvent(new Event('input'));</script>"
    (folder / "plain.html").write_text(text)
    told = "<script>document.title = getComputedStyle(document.body).backgroundColor;</script>"
    (folder / "colour.html").write_text(text.replace("</body>", f"{told}</body>"))
    (folder / "typed.html").write_text(text.replace("</body>", f"{typed}</body>"))
    return folder


def looked_at(page: Path, *options: str) -> str:
    """The document as the browser has it once its scripts have run."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *options]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [*command, profile, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_shows_it_and_the_search_hides_what_does_not_match(pages: Path) -> None:
    plain = looked_at(pages / "plain.html")
    assert "<title>math</title>" in plain
    assert plain.count("<rect") == 10 + 3
    assert plain.count('<details class="sample"') == 2 * SAMPLES + 30
    typed = looked_at(pages / "typed.html")
    assert typed.count('class="sample" hidden') == 2 * SAMPLES + 30 - 1
    assert f"1 of {2 * SAMPLES + 30} samples" in typed


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize(("scheme", "colour"), [(1, "255, 255, 255"), (0, "13, 17, 23")])
def test_it_is_light_by_day_and_dark_at_night(pages: Path, scheme: int, colour: str) -> None:
    picture = pages / f"{scheme}.png"
    options = [f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}"]
    shown = looked_at(pages / "colour.html", *options, "--window-size=800,600")
    assert f"<title>rgb({colour})</title>" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")
