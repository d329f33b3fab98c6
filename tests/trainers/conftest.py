"""Real trainers against a real service: `make test-trainers` installs them and runs these tests.

The service runs in the project's own environment, as a process of its own; the trainers' has the
base install alone. Where a trainer's library is absent its tests are skipped.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .installed import module

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"

REWARDS: dict[str, Any] = {
    "math": {"kind": "math", "timeout_s": 5},
    "length": {"kind": "python", "function": "trainer_rewards:length"},
    "picky": {"kind": "python", "function": "trainer_rewards:picky"},
    "shaped": {"kind": "python", "function": "trainer_rewards:shaped"},
    "exact": {"kind": "exact"},
    "code": {"kind": "code_tests", "program": "none"},
    "run": {"kind": "program_run"},
}


HTTP = {
    **{name: {"reward": "math"} for name in ("openrlhf", "remote_rm", "eval_protocol")},
    "open_instruct": {"reward": "code"},
    "sandbox_fusion": {"reward": "run"},
}


class Service:
    """A service on one port, which can be stopped, killed and started again."""

    def __init__(self, rewards: dict[str, Any]) -> None:
        self.url = ""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.target = f"127.0.0.1:{self.port}"
        self._configuration = json.dumps({"rewards": rewards, "http": HTTP})
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        python = PYTHON if PYTHON.exists() else Path(sys.executable)
        command = [python, "-m", "tests.support.serve_rig", str(self.port), self._configuration]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        target, http_port = self._process.stdout.readline().split()
        assert target == self.target
        self.url = f"http://127.0.0.1:{http_port}"

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def restart(self, how: signal.Signals, away_s: float) -> None:
        self.end(how)
        time.sleep(away_s)
        self.start()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    made = Service(REWARDS)
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def own_service() -> Iterator[Service]:
    """One that the test may stop."""
    made = Service(REWARDS)
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of a few thousand weights, with a tokenizer of single characters."""
    transformers = module("transformers", "transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [
        *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;?!+-*/=()<>|_\n"
    ]
    special = ["<pad>", "<eos>", "<unk>"]
    vocabulary = {token: i for i, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    fast.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("model")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
