"""A page that stands alone: charts as SVG, tables, and texts that can be searched.

Everything is in the one file, so that it can be mailed and opened without a network. What comes
from data is text, whatever it holds: it is escaped here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

BINS = 40
WIDTH, HEIGHT = 460, 150
_MARGIN = 18

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --paper: #fff; --line: #d0d7de; --soft: #656d76;
  --bar: #0969da; --bad: #b42318; --good: #1a7f37; --box: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d;
  --soft: #9198a1; --bar: #4493f8; --bad: #ff7b72; --good: #3fb950; --box: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1100px; padding: 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid var(--line); } td.n { text-align: right; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .85rem; }
svg { background: var(--box); border: 1px solid var(--line); max-width: 100%; height: auto; }
svg rect, svg circle { fill: var(--bar); } svg circle { opacity: .45; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; }
summary { cursor: pointer; padding: .4rem .7rem; overflow-wrap: anywhere; }
summary:focus-visible, input:focus-visible, a:focus-visible { outline: 2px solid var(--bar);
  outline-offset: 2px; }
details > div { padding: 0 .7rem .7rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box); padding: .6rem;
  margin: .2rem 0 .6rem; max-height: 24rem; overflow: auto; }
.bad { color: var(--bad); } .good { color: var(--good); } .soft { color: var(--soft); }
input { font: inherit; padding: .3rem .5rem; width: min(30rem, 100%); color: inherit;
  background: var(--box); border: 1px solid var(--line); border-radius: 6px; }
[hidden] { display: none; }
"""
SCRIPT = """
const box = document.getElementById("search"), told = document.getElementById("found");
const all = [...document.querySelectorAll("details.sample")];
function search() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const one of all) {
    const text = one.textContent.toLowerCase();
    one.hidden = !words.every(word => text.includes(word));
    shown += !one.hidden;
  }
  told.textContent = words.length ? `${shown} of ${all.length} samples` : "";
}
if (box) {
  box.addEventListener("input", search);
  document.addEventListener("keydown", event => {
    const inside = document.activeElement === box;
    if (event.key === "/" && !inside) { event.preventDefault(); box.focus(); }
    if (event.key === "Escape" && inside) { box.value = ""; search(); }
  });
}
"""


def page(title: str, sections: Iterable[str]) -> str:
    """The whole document."""
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it."""
    return f"<section>\n<h2>{escape(title)}</h2>\n" + "\n".join(parts) + "\n</section>"


def table(head: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    """A table; numbers stand to the right."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = ("".join(_cell(value) for value in row) for row in rows)
    return (
        f"<table><thead><tr>{top}</tr></thead><tbody>"
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</tbody></table>"
    )


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="n">{number(value)}</td>'


def number(value: float) -> str:
    """For people: 1,234 or 0.1235."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def charts(*figures: str) -> str:
    """Charts side by side."""
    return f'<div class="charts">{"".join(figures)}</div>'


def search_box() -> str:
    """The field that hides the samples which do not hold all its words; `/` goes to it."""
    return (
        '<p><label for="search">Search the samples (press /): </label>'
        '<input id="search" type="search" autocomplete="off"> '
        '<span id="found" class="soft" role="status"></span></p>'
    )


def sample(head: str, mark: str, texts: Iterable[tuple[str, str]]) -> str:
    """A sample that unfolds: its head, `mark` (good, bad or soft) and titled texts."""
    parts = "".join(
        f'<div class="soft">{escape(name)}</div><pre tabindex="0">{escape(text)}</pre>'
        for name, text in texts
        if text
    )
    return (
        f'<details class="sample"><summary class="{mark}">{escape(head)}</summary>'
        f"<div>{parts}</div></details>"
    )


def histogram(name: str, values: Sequence[float]) -> str:
    """How often values occur; the last bin includes its upper end."""
    low, high = min(values), max(values)
    width = (high - low) / BINS or 1.0
    counts = [0] * (BINS if high > low else 1)
    for value in values:
        counts[min(len(counts) - 1, int((value - low) / width))] += 1
    most = max(counts)
    step = (WIDTH - 2 * _MARGIN) / len(counts)
    bars = "".join(
        f'<rect x="{_MARGIN + index * step:.1f}" y="{_y(count / most):.1f}" '
        f'width="{max(step - 1, 1):.1f}" height="{_y(0) - _y(count / most):.1f}">'
        f"<title>{number(low + index * width)} to {number(low + (index + 1) * width)}: {count:,}"
        "</title></rect>"
        for index, count in enumerate(counts)
        if count
    )
    ends = _text(_MARGIN, number(low), "start") + _text(WIDTH - _MARGIN, number(high), "end")
    mean = math.fsum(values) / len(values)
    return _figure(f"{name}: mean {number(mean)}, {len(values):,} values", bars + ends)


def scatter(name: str, points: Sequence[tuple[float, float]]) -> str:
    """Points by x and y; the axes reach from the lowest to the highest of each."""
    (left, right), (low, high) = ((min(each), max(each)) for each in zip(*points, strict=True))
    across, up = (right - left) or 1.0, (high - low) or 1.0
    dots = "".join(
        f'<circle cx="{_MARGIN + (WIDTH - 2 * _MARGIN) * (x - left) / across:.1f}" '
        f'cy="{_y((y - low) / up):.1f}" r="2"/>'
        for x, y in points
    )
    ends = _text(_MARGIN, number(left), "start") + _text(WIDTH - _MARGIN, number(right), "end")
    sides = (
        f'<text x="2" y="12">{number(high)}</text><text x="2" y="{_y(0):.0f}">{number(low)}</text>'
    )
    return _figure(name, dots + ends + sides)


def _y(share: float) -> float:
    return HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN)


def _text(x: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.0f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{text}</text>'


def _figure(caption: str, content: str) -> str:
    told = escape(caption, quote=True)
    return (
        f'<figure><svg role="img" aria-label="{told}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{content}</svg><figcaption>{told}</figcaption></figure>'
    )
