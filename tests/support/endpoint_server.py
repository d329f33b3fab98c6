"""A model behind HTTP for tests: a real server that speaks four wires, and breaks as it is told.

    async with serving() as endpoint:
        endpoint.prefer = lambda text: 0.7      # the probability of the first label
        endpoint.breaks = lambda text: "http 500" if "item 3" in text else ""

It answers chat completions (with `top_logprobs`, vLLM's `logprob_token_ids`, `structured_outputs`,
JSON schemas), `/tokenize` and `/detokenize`, `/v1/decisions`, `/v1/systemone` and `/classify`, in
the shapes of vLLM 0.32, transformers 5.23 and openai-python 3.54.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from .listening import listening

FEATURES = frozenset({"logprob_token_ids", "top_logprobs", "structured", "schema"})
WAYS = (
    "http 500",
    "http 400",
    "no json",
    "no choices",
    "no logprobs",
    "off menu",
    "nan",
    "refusal",
    "filtered",
    "hangs up",
)
"""In which a reply may be broken; see `EndpointServer.broken`."""

_JSON_ENUM = re.compile(r'"enum": ?(\[[^\]]*\])')


class EndpointServer:
    """What it was asked, and how it will answer."""

    def __init__(self, features: frozenset[str] = FEATURES) -> None:
        self.features = features
        self.model = "fake-1"
        self.fingerprint: str | None = None
        self.prefer: Callable[[str], float] = lambda text: 0.8
        """The probability of the first label, of what the labels have together."""
        self.label_mass = 0.9
        self.number: Callable[[str], float] = lambda text: float(len(text))
        """What a reward model says of a conversation's text."""
        self.breaks: Callable[[str], str] = lambda text: ""
        self.reasons = "looked"
        """What it says before a verdict in JSON."""
        self.delay_s = 0.0
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.times_s: list[float] = []
        self.refused = 0
        self.per_minute: float | None = None
        self.window_s = 60.0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        now_s = time.monotonic()
        if self.per_minute is not None:
            # What the window has before this call; a refused one counts too, as at real endpoints.
            recent = sum(now_s - at_s < self.window_s for at_s in self.times_s)
            if recent >= self.per_minute * self.window_s / 60:
                self.refused += 1
                return web.json_response({"error": {"message": "rate"}}, status=429)
        self.times_s.append(now_s)
        self.bodies.append(body)
        self.paths.append(request.path)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        text = text_in(body)
        way = self.breaks(text)
        if way == "hangs up":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if way == "http 500":
            return web.json_response({"error": {"message": "boom"}}, status=500)
        if way == "http 400":
            return web.json_response({"error": {"message": "too long"}}, status=400)
        if way == "no json":
            return web.Response(text="<html>busy</html>")
        if request.path == "/v1/chat/completions":
            reply = self.chat(body, text)
        elif request.path == "/v1/decisions":
            reply = self.decisions(body, text)
        elif request.path == "/v1/systemone":
            reply = self.systemone(body, text)
        elif request.path == "/classify":
            reply = self.classify(body, text)
        else:
            reply = self.tokens(request.path, body)
        if isinstance(reply, web.Response):
            return reply
        reply = self.broken(way, {**reply, "model": self.model})
        # json writes NaN, as some servers do.
        return web.Response(text=json.dumps(reply), content_type="application/json")

    def broken(self, way: str, reply: dict[str, Any]) -> dict[str, Any]:
        """A chat completion, broken."""
        choice = reply["choices"][0] if "choices" in reply else {}
        if way == "no choices":
            return {"object": "chat.completion", "model": self.model}
        if way == "no logprobs":
            choice.pop("logprobs", None)
        elif way == "off menu":
            rows = [{"token": f" w{n}", "logprob": -1.0 - n} for n in range(20)]
            choice["logprobs"] = {"content": [{**rows[0], "top_logprobs": rows}]}
        elif way == "nan":
            for row in choice["logprobs"]["content"][0]["top_logprobs"]:
                row["logprob"] = math.nan
        elif way == "refusal":
            choice["message"] = {"role": "assistant", "content": None, "refusal": "No."}
        elif way == "filtered":
            choice["finish_reason"] = "content_filter"
        return reply

    def chat(self, body: dict[str, Any], text: str) -> dict[str, Any] | web.Response:
        labels = labels_in(text)
        for field in ("logprob_token_ids", "structured_outputs"):
            feature = "structured" if field == "structured_outputs" else field
            if field in body and feature not in self.features:
                return web.json_response({"error": {"message": f"unknown {field}"}}, status=400)
        if body.get("logprobs") and "top_logprobs" not in self.features:
            return web.json_response({"error": {"message": "no logprobs"}}, status=400)
        chosen = labels[0] if self.prefer(text) >= 0.5 else labels[-1]
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        said = chosen
        if "response_format" in body or "JSON schema" in text:
            step = {"description": self.reasons, "conclusion": "so"}
            enum = _JSON_ENUM.search(json.dumps(body))
            result: Any = chosen if enum else round(self.prefer(text), 6)
            said = json.dumps({"steps": [step], "result": result})
        if body.get("logprobs"):
            shares = self.shares(labels, text)
            choice["finish_reason"] = "length"
            choice["logprobs"] = {
                "content": [{"token": chosen, "top_logprobs": self.rows(body, shares)}]
            }
        choice["message"] = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
        return {
            "id": "c",
            "choices": [choice],
            "usage": usage,
            "system_fingerprint": self.fingerprint,
        }

    def rows(self, body: dict[str, Any], shares: dict[str, float]) -> list[dict[str, Any]]:
        if "logprob_token_ids" in body:
            by_id = {token_of(label): share for label, share in shares.items()}
            return [
                {"token": f"token_id:{n}", "logprob": log(by_id.get(n, 1e-9))}
                for n in body["logprob_token_ids"]
            ]
        if "structured_outputs" in body:
            total = sum(shares.values())
            ruled_out = [{"token": "The", "logprob": -9999.0}]
            return [{"token": t, "logprob": log(p / total)} for t, p in shares.items()] + ruled_out
        left = (1 - self.label_mass) / 20
        others = [{"token": f"w{n}", "logprob": log(left * (1 - n / 100))} for n in range(18)]
        # As tokenizers have them: with a space before, and in other case.
        rows = [{"token": f" {t}", "logprob": log(p)} for t, p in shares.items()]
        return sorted([*rows, *others], key=lambda row: -row["logprob"])[: body["top_logprobs"]]

    def shares(self, labels: list[str], text: str) -> dict[str, float]:
        first = self.prefer(text)
        rest = (1 - first) / (len(labels) - 1)
        return {
            label: self.label_mass * (rest if index else first)
            for index, label in enumerate(labels)
        }

    def decisions(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        answers = [self.decision(question, text) for question in body["questions"]]
        usage = {
            "input_tokens": 50,
            "output_tokens": 0,
            "input_tokens_details": {"cached_tokens": 8},
        }
        return {"answers": answers, "usage": usage}

    def decision(self, question: dict[str, Any], text: str) -> dict[str, Any]:
        first = self.prefer(text)
        if self.breaks(text) == "refusal":
            return {"type": "refusal", "name": None}
        if question["type"] == "predicate":
            return {"type": "predicate", "probability": first}
        key, rows = ("value", "choices") if question["type"] == "choice" else ("label", "levels")
        names = [row[key] for row in question[rows]]
        rest = (1 - first) / (len(names) - 1)
        probabilities = [
            {key: name, "probability": rest if index else first} for index, name in enumerate(names)
        ]
        return {"type": question["type"], "probabilities": probabilities, "confidence": 0.5}

    def systemone(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        first = self.prefer(text)
        answers: dict[str, Any] = {}
        for name, question in body["questions"].items():
            if question["type"] == "noul":
                answers[name] = {"type": "noul", "noul": first, "probabilities": {}}
                continue
            criteria = question["criteria"]
            names = list(criteria) if isinstance(criteria, dict) else range(len(criteria))
            rest = (1 - first) / (len(names) - 1)
            shares = {str(n): rest if index else first for index, n in enumerate(names)}
            answers[name] = {"type": question["type"], "probabilities": shares}
        told = {name: {"label_mass": self.label_mass, "argmax_is_label": True} for name in answers}
        usage = {"input_tokens": 60, "output_tokens": len(answers)}
        return {
            "object": "structured_decision",
            "answers": answers,
            "usage": usage,
            "diagnostics": told,
        }

    def classify(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        assert body["use_activation"] is False
        assert body["add_generation_prompt"] is False
        row = {"index": 0, "label": None, "probs": [self.number(text)], "num_classes": 1}
        return {"object": "list", "data": [row], "usage": {"prompt_tokens": 30, "total_tokens": 30}}

    def tokens(self, path: str, body: dict[str, Any]) -> dict[str, Any] | web.Response:
        if "logprob_token_ids" not in self.features:
            return web.json_response({"error": {"message": "not found"}}, status=404)
        if path == "/detokenize":
            return {"prompt": "".join(_TAIL[token] for token in body["tokens"])}
        if "messages" in body:
            return {"tokens": [7, 8, 1, 2], "count": 4}
        text = body["prompt"]
        tail = "".join(_TAIL.values())
        assert text.startswith(tail)
        label = text.removeprefix(tail)
        # A label of several characters that is no word of its own is several tokens.
        more = [token_of(label)] if label in _WORDS or len(label) == 1 else [*map(ord, label)]
        return {"tokens": [*_TAIL, *(more if label else [])], "count": 5}


_TAIL = {7: "<|im", 8: "_start|>", 1: "assistant", 2: "\n"}
_WORDS = ("Yes", "No")


def token_of(label: str) -> int:
    return 1_000 + sum(map(ord, label))


def log(share: float) -> float:
    return math.log(max(share, 1e-12))


def text_in(body: Any) -> str:
    """All text of a request, in its order."""
    if isinstance(body, str):
        return body
    if isinstance(body, dict):
        return "\n".join(text_in(v) for k, v in body.items() if k not in ("type", "role", "model"))
    return "\n".join(map(text_in, body)) if isinstance(body, list) else ""


def labels_in(text: str) -> list[str]:
    """The labels that the question, the end of the text, asks for."""
    found = re.findall(r"(?:Answer with|The result is) (.+?)(?: and nothing else)?\.", text)
    return re.split(r", | or ", found[-1]) if found else ["Yes", "No"]


@contextlib.asynccontextmanager
async def serving(features: frozenset[str] = FEATURES) -> AsyncIterator[EndpointServer]:
    """An endpoint on a free port of this machine."""
    endpoint = EndpointServer(features)
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/{path:.*}", endpoint.answer)
    async with listening(app) as endpoint.port:
        yield endpoint
