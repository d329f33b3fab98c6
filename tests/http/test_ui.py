"""The page of the HTTP port: what it tells whom, and how a browser shows it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rewardplane.access.gate import Gate
from rewardplane.access.tokens import new_token
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.config.load import parse
from rewardplane.gateway.gauges import gauges
from rewardplane.gateway.seen import KEPT, MAX_CHARS
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace
from rewardplane.rewards.types import Example, Group, Response

from ..support.rig import FOLDER, Rig, poison

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<img src=x onerror=document.title='taken'>"
REWARDS = {"exact": {"kind": "exact"}, "one": poison(), "secret": poison()}
ACCESS = (
    "tokens_file: tokens\nanonymous: {rewards: [exact, one]}\ncallers:\n"
    "  a: {}\n  b: {rewards: [exact, one]}\n"
)


@asynccontextmanager
async def shown(gate: Gate | None = None) -> AsyncIterator[tuple[Rig, str]]:
    """A service with a page, and where that is."""
    async with Rig(parse({"rewards": REWARDS}, FOLDER), None, gate=gate) as it:
        limits = it.config.limits
        validator = Validator(it.scorer, it.metrics, limits)
        it.metrics.gauges |= gauges(it.admission, it.server)
        face = HttpFace(it.scorer, validator, it.rewards, it.metrics, limits, gate, ui=True)
        port = await face.start("127.0.0.1", 0)
        try:
            yield it, f"http://127.0.0.1:{port}/ui"
        finally:
            await face.stop(2.0)


@pytest.fixture
def guarded(tmp_path: Path) -> tuple[Gate, dict[str, str]]:
    """A gate, and the tokens of its callers."""
    made = {name: new_token(name) for name in "ab"}
    (tmp_path / "tokens").write_text("".join(f"{line}\n" for _, line in made.values()))
    (tmp_path / "access.yaml").write_text(ACCESS)
    return Gate(tmp_path / "access.yaml"), {name: token for name, (token, _) in made.items()}


async def score(it: Rig, reward: str, *texts: str, job: str = "", token: str = "") -> None:
    credentials = Credentials(token, tls=False) if token else None
    async with RewardClient(it.address, credentials=credentials) as client:
        group = Group(Example(references={"answer": "1"}), [Response(text) for text in texts])
        await client.score(reward, [group], job=job)


async def status(url: str, token: str = "", wanted: int = 200) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{url}/status.json", headers=headers) as a,
    ):
        assert a.status == wanted
        assert a.headers["cache-control" if wanted == 200 else "content-type"]
        return await a.json()


def seen(told: Any) -> set[tuple[str, str]]:
    """The rewards that raised, each with what it said."""
    return {
        (error["reward"], re.sub(r"^\w+: | \(.*", "", error["message"])) for error in told["errors"]
    }


async def test_the_status_has_what_was_done() -> None:
    async with shown() as (it, url):
        await score(it, "exact", "1", "2", job="train")
        await score(it, "one", "0.5", "raise it", *["exit 3"] * (KEPT + 2), job="train")
        told = await status(url)
    by_name = {reward["name"]: reward for reward in told["rewards"]}
    assert set(by_name) == set(REWARDS)
    assert by_name["exact"]["items"] == {"SCORED": 2}
    assert by_name["exact"]["calls"] == {"OK": 1}
    assert sum(by_name["exact"]["call_bins"].values()) == 1
    assert by_name["exact"]["reward_sum"] == 1.0
    assert by_name["one"]["items"] == {"SCORED": 1, "RAISED": 1, "CRASHED": KEPT + 2}
    assert (by_name["exact"]["lane"], by_name["one"]["lane"]) == ("inline", "pool")
    assert told["caller"] is None
    reasons = [error["reason"] for error in told["errors"]]
    assert sorted(reasons) == ["CRASHED"] * KEPT + ["RAISED"]
    assert {(job["job"], job["reward"]) for job in told["jobs"]} == {
        ("train", "exact"),
        ("train", "one"),
    }


async def test_it_is_not_there_unless_it_is_asked_for() -> None:
    async with Rig(parse({"rewards": REWARDS}, FOLDER), None) as it:
        face = HttpFace(
            it.scorer,
            Validator(it.scorer, it.metrics, it.config.limits),
            it.rewards,
            it.metrics,
            it.config.limits,
        )
        port = await face.start("127.0.0.1", 0)
        async with aiohttp.ClientSession() as http:
            for path in ("/ui", "/ui/status.json"):
                async with http.get(f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 404
        await face.stop(2.0)
        assert it.metrics.sights is None


async def test_callers_see_what_is_theirs(guarded: tuple[Gate, dict[str, str]]) -> None:
    gate, tokens = guarded
    async with shown(gate) as (it, url):
        await score(it, "one", "raise of-a", job="of-a", token=tokens["a"])
        await score(it, "secret", "raise secret-of-a", job="of-a", token=tokens["a"])
        await score(it, "one", "raise of-b", job="of-b", token=tokens["b"])
        await score(it, "one", "raise of-nobody", job="of-nobody")
        for token in (tokens["a"], tokens["b"]):
            await score(it, "one", "1", job="of-both", token=token)
        a, b = await status(url, tokens["a"]), await status(url, tokens["b"])
        nobody = await status(url)
        unknown = await status(url, "wrong", 401)
    assert unknown["error"]["reason"] == "UNAUTHENTICATED"
    assert seen(a) == {("one", "of-a"), ("secret", "secret-of-a")}
    assert seen(b) == {("one", "of-b")}
    assert seen(nobody) == set()  # they are several, and share a name
    assert [reward["name"] for reward in b["rewards"]] == ["exact", "one"]
    assert {job["job"] for job in a["jobs"]} == {"of-a"}
    assert {job["job"] for job in b["jobs"]} == {"of-b"}
    assert nobody["jobs"] == []
    assert "connections" in a["load"]
    assert b["load"] == {"in_flight_items": 0}
    for secret in ("of-a", "secret"):
        assert secret not in str(b)


async def test_a_grant_that_is_taken_away_hides_what_it_let_see(
    guarded: tuple[Gate, dict[str, str]],
) -> None:
    gate, tokens = guarded
    async with shown(gate) as (it, url):
        await score(it, "one", "raise mine", job="j", token=tokens["b"])
        assert seen(await status(url, tokens["b"])) == {("one", "mine")}
        caller = gate.caller(f"Bearer {tokens['b']}", lambda: "")
        caller.set(caller.grant.model_copy(update={"rewards": ("exact",)}))
        told = await status(url, tokens["b"])
    assert (seen(told), told["jobs"]) == (set(), [])


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewardplane.gateway.seen.MAX_KEYS", 2)
    async with shown() as (it, url):
        await score(it, "one", "raise " + "x" * 10_000)
        (error,) = (await status(url))["errors"]
        assert len(error["message"]) == MAX_CHARS
        for text in ("nan", "exit 3", "raise it"):
            await score(it, "one", text)
        reasons = [error["reason"] for error in (await status(url))["errors"]]
    assert reasons == ["RAISED", "CRASHED"]  # the last two; what was before is forgotten


def looked_at(url: str, folder: Path, *options: str, ms: int = 4500) -> str:
    """The document as the browser has it after a while."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *options]
    command += [
        f"--user-data-dir={folder / 'profile'}",
        f"--virtual-time-budget={ms}",
        "--dump-dom",
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
@pytest.mark.parametrize("scheme", [1, 0])
async def test_a_browser_shows_it(tmp_path: Path, scheme: int) -> None:
    async with shown() as (it, url):
        await score(it, "exact", *["1", "2"] * 40, job="train <b>")
        await score(it, "one", "0.5", f"raise {EVIL}", *["0.5"] * 80, job="train <b>")

        async def load() -> None:
            while True:
                await score(it, "exact", "1", "2")
                await asyncio.sleep(0.05)

        loading = asyncio.create_task(load())
        try:
            picture = tmp_path / f"{scheme}.png"
            await asyncio.to_thread(
                *(looked_at, url, tmp_path, f"--screenshot={picture}", "--window-size=1280,900"),
                f"--blink-settings=preferredColorScheme={scheme}",
            )
            page = await asyncio.to_thread(looked_at, url, tmp_path)
        finally:
            loading.cancel()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "<title>rewardplane</title>" in page  # what came in a message is text
    assert EVIL not in page
    assert "&lt;img src=x" in page
    assert re.search(r'id="state"[^>]*>serving<', page)
    assert page.count('<th scope="row">') == 3 + 3  # of three jobs, one without a name
    assert "train &lt;b&gt;" in page
    assert "RAISED" in page
    assert "has no reward" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
async def test_a_browser_asks_for_a_token(
    tmp_path: Path, guarded: tuple[Gate, dict[str, str]]
) -> None:
    assert guarded  # its files are there
    path = tmp_path / "access.yaml"
    path.write_text(ACCESS.replace("anonymous: {rewards: [exact, one]}\n", ""))
    async with shown(Gate(path)) as (_it, url):
        page = await asyncio.to_thread(looked_at, url, tmp_path)
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            policy = answer.headers["content-security-policy"]
    assert re.search(r'<form id="ask">', page)
    assert "the call does not prove who calls" in page
    assert "unsafe" not in policy
    assert re.search(r"script-src 'sha256-\S+'; style-src 'sha256-\S+'; connect-src 'self'", policy)
