"""The reward server that one writes in ten minutes: FastAPI on uvicorn, one process."""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI

from .judging import evaluate
from .scoring import exact


def app() -> FastAPI:
    """The two rewards of the burst."""
    served = FastAPI()

    @served.post("/rewards/exact")
    async def cheap(call: dict[str, Any]) -> dict[str, float]:
        text = call["response"]["parts"][0]["text"]
        return {"reward": exact(text, call["example"]["references"]["answer"])}

    @served.post("/rewards/judge")
    async def judged(call: dict[str, Any]) -> dict[str, float]:
        return {"reward": await evaluate(call["example"], call["response"])}

    return served


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app(), port=parser.parse_args().port, access_log=False, backlog=16_384)
