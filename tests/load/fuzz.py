"""Messages that nobody would send, on gRPC and on HTTP: no crash, no hang, no INTERNAL.

    python -m tests.load.fuzz [--grpc 200000] [--http 20000] [--door native] [--seed 1]

Half of the messages are bytes (random, or of a request with bytes flipped, cut, doubled), half are
requests with extreme values. The service runs in this process, without Ray, so that a fault has a
traceback; its own log is read for such. Ends with 1 when one of these happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import aiohttp
import grpc
import yarl
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message
from rewardplane.config.load import parse
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.server import SERVICE
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace
from rewardplane.rewards.types import Reason
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import FOLDER, Rig, poison, request_of

HANG_S = 30.0
IN_FLIGHT = 64
METHODS: dict[str, type[Message]] = {
    "Score": pb.ScoreRequest,
    "StreamScores": pb.StreamScoresRequest,
    "ValidateReward": pb.ValidateRewardRequest,
    "ListRewards": pb.ListRewardsRequest,
    "GetReward": pb.GetRewardRequest,
}
_CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
_OUTPUT = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "4"}],
}
_GEMINI = {
    "example": {
        "contents": [{"role": "user", "parts": [{"text": "2+2?"}]}],
        "references": {"answer": "4"},
    },
    "responseCandidate": {"content": {"role": "model", "parts": [{"text": "4"}]}},
}
_VALIDATE = "/v1beta1/projects/p/locations/l/tuningJobs:validateReinforcementTuningReward"
_GRADERS = "/v1/fine_tuning/alpha/graders"
ROUTES: dict[str, Any] = {
    "/": _GEMINI,
    "/rewards/numeric": _GEMINI,
    "/rewards/%00": _GEMINI,
    "/get_reward": {"query": ["2+2?4"], "prompts": ["2+2?"], "labels": [{"answer": "4"}]},
    "/remote_rm": {"prompt": _CHAT[:1], "response": "4", "label": "4"},
    "/verify": {
        "responses_create_params": {"input": _CHAT[:1]},
        "response": {"output": [_OUTPUT]},
        "answer": "4",
    },
    "/seed_session": {"resources_session_id": "s"},
    "/aggregate_metrics": {"verify_responses": [{"reward": 1.0}, {"reward": 0, "mask_sample": 1}]},
    "/evaluate": {"messages": _CHAT, "ground_truth": "4"},
    "/test_program": {"program": "x = 1", "tests": ["assert x"], "max_execution_time": 1},
    "/run_code": {"code": "print(1)", "language": "python", "run_timeout": 1},
    f"{_GRADERS}/validate": {
        "grader": {
            "type": "string_check",
            "name": "g",
            "operation": "eq",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
        }
    },
    _VALIDATE: {"singleRewardConfig": {"stringMatchRewardScorer": {}}, **_GEMINI},
    "/healthz": {},
    "/ui/status.json": {},
    "/nowhere": {},
}
"""A sound body for each address; most of those sent have something else in some place."""
STARTS = ("/test_program", "/run_code", _VALIDATE)
"""These start processes where the body is sound: few of them."""
REASONS = {reason.name for reason in Reason}
TEXTS = (
    *("", "1", "numeric", "json", "nobody", "\0", "é" * 300, "x" * 5000, "{", "[" * 2000, "NaN"),
    *("\\boxed{1}" * 50, "</think>", "1e999", "-0", "﷽" * 100, '{"a": 1}', "a\nb", "../../etc"),
    *("kind: exact\n", "kind: regex\npattern: (a|a)*$\n", "kind: python\nfunction: os:system\n"),
    *("kind: json_schema\nschema: {$ref: 'file:///etc/passwd'}\n", "&a [*a]", "!!python/none"),
)
NUMBERS = (0, 1, -1, 2, 7, 127, 128, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**32 - 1)


class Fuzzer:
    """Makes messages."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def message(self, kind: type[Message]) -> bytes:
        """One message for a method."""
        how = self.chance.random()
        if how < 0.15:
            return self.chance.randbytes(self.chance.choice((0, 1, 2, 7, 40, 300)))
        made = kind()
        self._fill(made, 0)
        data = bytearray(made.SerializeToString())
        if how < 0.5:
            self._spoil(data)
        return bytes(data)

    def _spoil(self, data: bytearray) -> None:
        for _ in range(self.chance.randint(1, 8)):
            at = self.chance.randint(0, len(data))
            match self.chance.randrange(4):
                case 0 if data:
                    data[at % len(data)] = self.chance.randrange(256)
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = self.chance.randbytes(self.chance.randint(1, 9))
                case _:
                    data += data[at : at + 200]

    def _fill(self, message: Message, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if self.chance.random() < 0.35 + 0.1 * depth:
                continue
            repeated = field.is_repeated
            of = field.message_type
            if of is not None and of.GetOptions().map_entry:
                values = of.fields_by_name["value"]
                if values.message_type is None:
                    for _ in range(self.chance.randint(0, 3)):
                        getattr(message, field.name)[self._text()] = self._value(values)
            elif of is not None:
                if depth > 6:
                    continue
                for _ in range(self.chance.choice((0, 1, 1, 2, 9)) if repeated else 1):
                    held: Any = getattr(message, field.name)
                    self._fill(held.add() if repeated else held, depth + 1)
            elif repeated:
                values_ = [self._value(field) for _ in range(self.chance.randint(0, 4))]
                getattr(message, field.name).extend(values_)
            else:
                setattr(message, field.name, self._value(field))
        if isinstance(message, pb.ScoreRequest) and self.chance.random() < 0.7:
            message.reward = self.chance.choice(("numeric", "json", "pool"))

    def _text(self) -> str:
        return self.chance.choice((*TEXTS, "answer", "answer"))

    def _value(self, field: Any) -> Any:
        if field.cpp_type == Field.CPPTYPE_STRING:
            return self._text().encode() if field.type == Field.TYPE_BYTES else self._text()
        if field.cpp_type == Field.CPPTYPE_BOOL:
            return self.chance.random() < 0.5
        if field.cpp_type in (Field.CPPTYPE_DOUBLE, Field.CPPTYPE_FLOAT):
            return self.chance.choice((0.0, -1.5, 1e300, float("inf"), float("nan")))
        low, high = {
            Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
            Field.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
            Field.CPPTYPE_UINT32: (0, 2**32 - 1),
            Field.CPPTYPE_UINT64: (0, 2**64 - 1),
        }.get(field.cpp_type, (-(2**63), 2**63 - 1))
        return self.chance.choice([n for n in NUMBERS if low <= n <= high])

    def body(self, sound: Any) -> bytes:
        """One body for the HTTP port; `sound` is what it might be."""
        how = self.chance.random()
        if how < 0.1:
            return self.chance.randbytes(self.chance.choice((0, 1, 40, 300)))
        document = self._json(0) if how < 0.3 else self._changed(sound)
        data = bytearray(json.dumps(document).replace('"\\u221e"', "1" * 4000).encode())
        if how < 0.12:
            data[:0] = b'{"a":' * 5_000
        elif how < 0.4:
            self._spoil(data)
        return bytes(data)

    def _changed(self, value: Any) -> Any:
        """A copy with something else in some places."""
        chance = self.chance.random()
        if chance < 0.08:
            return self._json(3)
        if isinstance(value, dict):
            items = cast("dict[str, Any]", value).items()
            kept = {k: self._changed(v) for k, v in items if self.chance.random() > 0.03}
            return kept | ({self._text(): self._json(3)} if chance > 0.9 else {})
        if isinstance(value, list):
            found = [self._changed(one) for one in cast("list[Any]", value)]
            return found * self.chance.choice((1, 1, 1, 2, 30)) if chance > 0.8 else found
        return value

    def _json(self, depth: int) -> Any:
        chance = self.chance
        if depth > 4 or chance.random() < 0.2:
            odd = None, True, 1.5, float("nan"), float("inf"), 10**400, "\ud800", "\u221e"
            return chance.choice((*TEXTS, *NUMBERS, *odd))
        if chance.random() < 0.2:
            return [self._json(depth + 1) for _ in range(chance.randint(0, 4))]
        keys = (
            *("example", "response", "references", "contents", "parts", "text", "role", "query"),
            *("prompts", "labels", "prompt", "label", "responseCandidate", "answer", "x" * 50),
        )
        return {chance.choice(keys): self._json(depth + 1) for _ in range(chance.randint(0, 6))}


class _Faults(logging.Handler):
    """Keeps what the service logs of its own faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one record."""
        self.told.append(self.format(record)[-1500:])


async def grpc_calls(it: Rig, fuzzer: Fuzzer, count: int) -> Counter[str]:
    """How many calls ended with which code."""
    codes: Counter[str] = Counter()
    raw = {
        method: (it.channel.unary_stream if method == "StreamScores" else it.channel.unary_unary)(
            f"/{SERVICE}/{method}"
        )
        for method in METHODS
    }
    messages: Iterator[int] = iter(range(count))

    async def one_after_another() -> None:
        for _ in messages:
            # A trial by an inline configuration starts a process: few of them.
            name = fuzzer.chance.choices(list(METHODS), (60, 25, 1, 5, 9))[0]
            call = raw[name](fuzzer.message(METHODS[name]), timeout=HANG_S)
            try:
                if name == "StreamScores":
                    async for _message in call:
                        pass
                else:
                    await call
                codes["OK"] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1

    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))
    return codes


def _code_of(status: int, text: str) -> str:
    """The status, and INTERNAL for one that says it is our fault and tells no item's error."""
    if status < 500:
        return str(status)
    error = json.loads(text)["error"]
    return f"{status} {error['reason']}" if error["reason"] in REASONS else "INTERNAL"


async def http_calls(port: int, fuzzer: Fuzzer, count: int) -> Counter[str]:
    """How many requests ended with which status."""
    codes: Counter[str] = Counter()
    bodies: Iterator[int] = iter(range(count))
    timeout = aiohttp.ClientTimeout(total=HANG_S)

    async def one_after_another(client: aiohttp.ClientSession) -> None:
        for _ in bodies:
            route = fuzzer.chance.choice(list(ROUTES))
            if route in STARTS and fuzzer.chance.random() < 0.95:
                continue
            body = fuzzer.body(ROUTES[route])
            method = "GET" if fuzzer.chance.random() < 0.02 else "POST"
            target = yarl.URL(route, encoded=True)
            try:
                async with client.request(method, target, data=body) as reply:
                    text = await reply.text()
                    codes[_code_of(reply.status, text)] += 1
                    if reply.status == 500 and "INTERNAL" in text:
                        print(f"{route} {body[:600]!r}", file=sys.stderr)
            except TimeoutError:
                codes["DEADLINE_EXCEEDED"] += 1
            except aiohttp.ClientError as error:
                codes[type(error).__name__] += 1

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as client:
        await asyncio.gather(*(one_after_another(client) for _ in range(32)))
    return codes


async def run(door: DoorKind, grpc_count: int, http_count: int, seed: int) -> tuple[bool, str]:
    """Whether all was well, and the figures."""
    faults = _Faults()
    for name in ("rewardplane", "asyncio"):
        logging.getLogger(name).addHandler(faults)
    document = {
        "rewards": {
            "numeric": {"kind": "numeric"},
            "json": {"kind": "json_key", "key": "a"},
            "pool": poison(timeout_s=2),
            "code": {"kind": "code_tests", "program": "none", "cpu_s": 1, "lane": "pool"},
            "run": {"kind": "program_run", "cpu_s": 1, "memory_mb": 256},
        },
        "limits": {"default_deadline_s": 10},
        "http": {
            "reward": "numeric",
            "openrlhf": {"reward": "numeric"},
            "remote_rm": {"reward": "json"},
            "nemo_gym": {"reward": "numeric"},
            "eval_protocol": {"reward": "numeric"},
            "open_instruct": {"reward": "code"},
            "sandbox_fusion": {"reward": "run"},
        },
    }
    fuzzer = Fuzzer(seed)
    begin_s = time.monotonic()
    async with Rig(parse(document, FOLDER), None, door) as it:
        validator = Validator(it.scorer, it.metrics, it.config.limits)
        face = HttpFace(it.scorer, validator, it.rewards, it.metrics, it.config.limits, ui=True)
        port = await face.start("127.0.0.1", 0)
        by_grpc = await grpc_calls(it, fuzzer, grpc_count)
        by_http = await http_calls(port, fuzzer, http_count)
        answer = await it.answer(request_of("numeric", ["1"], references={"answer": "1"}))
        alive = answer.groups[0].outcomes[0].score.reward == 1.0
        left = it.admission.items, it.admission.bytes, it.admission.calls
        await face.stop(2.0)
    bad = {"INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE", "DATA_LOSS"}
    wrong = {c: n for c, n in (by_grpc + by_http).items() if c in bad or c.endswith("Error")}
    for text in faults.told[:5]:
        print(text, file=sys.stderr)
    said = (
        f"door {door}: gRPC {dict(by_grpc)}; HTTP {dict(by_http)}; {len(faults.told)} faults in "
        f"the log; places left {left}; {time.monotonic() - begin_s:.0f} s"
    )
    return alive and not wrong and not faults.told and left == (0, 0, 0), said


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grpc", type=int, default=200_000)
    parser.add_argument("--http", type=int, default=20_000)
    parser.add_argument("--door", default="native")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logging.getLogger("rewardplane").setLevel(logging.ERROR)
    well, said = asyncio.run(run(DoorKind(args.door), args.grpc, args.http, args.seed))
    print(said)
    sys.exit(not well)


if __name__ == "__main__":
    main()
