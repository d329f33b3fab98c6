"""What a wrong input gets, from each command: a line that says what is wrong, and no traceback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rewardplane.cli.commands import app
from typer.testing import CliRunner

OK = "rewards: {math: {kind: math}}\n"
ROW = '{"prompt": "1+1?", "response": "A: 2", "answer": "2"}\n'
FILES = {
    "ok.yaml": OK,
    "typo.yaml": "rewards:\n  m: {kind: math\n  n: 3",
    "tab.yaml": "rewards:\n\tm: 1\n",
    "list.yaml": "[1, 2]",
    "empty.yaml": "",
    "key.yaml": "reward: {}",
    "types.yaml": "rewards: {m: {kind: math, replicas: two, timeout_s: -1}}",
    "kind.yaml": "rewards: {m: {kind: maths}}",
    "port.yaml": "rewards: {m: {kind: math, replica: 2}}",
    "function.yaml": "rewards: {m: {kind: python, function: nowhere.score}}",
    "module.yaml": "rewards: {m: {kind: python, function: 'nowhere:score'}}",
    "twice.yaml": "rewards: {m: {kind: math}, m: {kind: exact}}",
    "good.jsonl": ROW,
    "bad.jsonl": ROW + "{bad\n",
    "empty.jsonl": "\n",
    "text.jsonl": '"text"\n',
    "array.json": f"[{ROW.strip()}]",
    "data.csv": "prompt,response\na,b\n",
    "bare.jsonl": '{"prompt": "a"}\n',
    "token": "",
}
NOBODY = "127.0.0.1:1"
SCORE = "score good.jsonl --reward math --config ok.yaml"
CASES: list[tuple[str, str]] = [
    # The command line itself.
    ("serv", "No such command 'serv'. Did you mean 'serve'?"),
    ("--versio", "--version"),
    ("serve", "Missing argument 'config'"),
    ("serve ok.yaml --port 70000", "less than or equal to 65535"),
    ("serve ok.yaml --port abc", "valid integer"),
    ("serve ok.yaml --door wood", "is not one of 'native', 'grpc'"),
    # Configurations, by whichever command reads them.
    *(
        (f"{command} {file}", want)
        for command in ("serve --no-ray", "check")
        for file, want in (
            ("missing.yaml", "missing.yaml: No such file or directory; `rewardplane init` writes"),
            ("folder", "folder: Is a directory"),
            ("noise.bin", "noise.bin: is no text in UTF-8: want YAML"),
            ("typo.yaml", "in line 3, column 4"),
            ("tab.yaml", "indented by spaces, not by tabs"),
            ("list.yaml", "want a mapping with `rewards:`; `rewardplane init`"),
            ("empty.yaml", "want a mapping with `rewards:`; `rewardplane init`"),
            ("key.yaml", "reward: unknown; want limits, http, models, rewards"),
            ("types.yaml", "rewards.m.timeout_s: want greater than 0, not -1"),
            ("kind.yaml", "did you mean"),
            ("port.yaml", "rewards.m.replica"),
            ("function.yaml", "rewards.m.function"),
            ("module.yaml", "nowhere"),
            ("twice.yaml", "'m' stands twice"),
        )
    ),
    ("score good.jsonl --reward math --config missing.yaml", "`rewardplane init` writes one"),
    ("score good.jsonl --reward math --config typo.yaml", "in line 3, column 4"),
    # Serving.
    ("serve ok.yaml --no-ray --host nohost.invalid --insecure", "an address of this machine"),
    ("serve ok.yaml --no-ray --host 192.0.2.1 --insecure", "an address of this machine"),
    ("serve ok.yaml --no-ray --host 192.0.2.1", "nothing proves who calls"),
    ("serve ok.yaml --no-ray --port 5000 --metrics-port 5000", "each wants its own"),
    ("serve ok.yaml --no-ray --http-port 9464", "of metrics and of HTTP"),
    ("serve ok.yaml --no-ray --port TAKEN", "Address already in use"),
    ("serve ok.yaml --no-ray --metrics-port TAKEN", "another one: --metrics-port"),
    ("serve ok.yaml --no-ray --ui", "--http-port 8080"),
    ("serve ok.yaml --no-ray --gateways 2 --keep", "--gateways, --keep: mean nothing"),
    ("serve ok.yaml --no-ray --access missing", "missing: No such file or directory"),
    ("serve ok.yaml --no-ray --access folder", "folder: Is a directory"),
    ("serve ok.yaml --no-ray --access list.yaml", "want a mapping with tokens_file"),
    # Data sets, by whichever command reads them.
    *(
        (command.format(file), want)
        for command in ("score {} --reward math --config ok.yaml", "check ok.yaml --data {}")
        for file, want in (
            ("missing.jsonl", "missing.jsonl: No such file or directory"),
            ("folder", "folder: Is a directory"),
            ("empty.jsonl", "empty.jsonl: is empty"),
            ("bad.jsonl", "line 2: is no JSON"),
            ("noise.bin", "want JSON lines"),
            ("data.csv", "want JSON lines"),
            ("text.jsonl", "line 1: the line: want an object, not str"),
            ("array.json", "one object a line"),
            ("broken.jsonl.gz", "is no whole gzip file"),
        )
    ),
    ("score broken.parquet --reward math --config ok.yaml", "not a parquet file"),
    ("score bare.jsonl --reward math --config ok.yaml", "--response"),
    # Scoring.
    (SCORE.replace("--reward math", "--reward mat"), "did you mean math?"),
    (SCORE + " --output nodir/x.jsonl", "nodir/x.jsonl: is in no folder that there is"),
    (SCORE + " --output folder", "folder: is a folder"),
    (SCORE + " --report nodir/x.html", "nodir/x.html: is in no folder that there is"),
    (SCORE + " --timeout-s -1", "greater than or equal to 0.001"),
    (SCORE + " --response nope", "there is no column 'nope'"),
    (SCORE + " --rename x", "want OLD=NEW"),
    # Services that are not there, or let nobody in.
    (f"score good.jsonl --reward math --target {NOBODY}", "--config FILE scores without one"),
    (f"list --target {NOBODY}", "is `rewardplane serve` running there?"),
    ("list --target nonsense", "target 'nonsense' has no port; want host:port"),
    ("list --target 127.0.0.1:99999", "99999"),
    ("list --target=", "no target"),
    ("list --target nohost.invalid:50051", "nohost.invalid"),
    (f"list --target {NOBODY} --token-file missing", "missing: No such file or directory"),
    (f"list --target {NOBODY} --key-file ok.yaml", "go together"),
    ("top --once --metrics http://127.0.0.1:1/metrics", "with that --metrics-port?"),
    ("top --once --metrics nonsense", "want a URL"),
    ("reload --port 1", "say its gRPC port with --port"),
    # The rest.
    ("init ok.yaml", "ok.yaml: File exists"),
    ("init ok.yaml/below", "Not a directory"),
    ("init there", "there already; name another folder"),
    ("new-token a\N{NO-BREAK SPACE}b", "letters, digits and"),
    ("calibrate missing.jsonl out.json", "missing.jsonl: No such file or directory"),
    ("calibrate empty.jsonl out.json", "want at least 2"),
    ("calibrate good.jsonl out.json --method x", "affine, isotonic, standard"),
    ("compare missing good.jsonl", "missing: No such file or directory"),
    ("compare folder folder", "folder: Is a directory"),
    ("compare empty.jsonl empty.jsonl", "is empty"),
    ("compare good.jsonl good.jsonl", "not what `rewardplane score --output` writes"),
    ("doctor --config typo.yaml", "line 3, column 4"),
]


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all the files, to work in."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "rewards.yaml").write_text(OK)
    (tmp_path / "noise.bin").write_bytes(bytes(range(128, 256)) * 3)
    (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8b\x08broken")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1broken")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("REWARDPLANE_TARGET", raising=False)
    return tmp_path


@pytest.mark.parametrize(("line", "want"), CASES)
def test_it_is_told_what_is_wrong(here: Path, taken: int, line: str, want: str) -> None:
    arguments = line.replace("TAKEN", str(taken)).split(" ")
    done = CliRunner().invoke(app, arguments)
    told = " ".join(done.output.split())
    # What nobody foresaw would come out of `invoke` as it is.
    assert done.exception is None or isinstance(done.exception, SystemExit), told
    assert done.exit_code in (1, 2), told
    assert want in told
    assert "Traceback" not in told
    assert "[Errno" not in told
    assert "unicode string" not in told


def test_there_are_many() -> None:
    assert len({line for line, _ in CASES}) == len(CASES) >= 40


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str, tmp_path: Path) -> None:
    """As the script of `--show-completion` asks."""
    asked = {
        "COMP_WORDS": "rewardplane ca",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "rewardplane ca",
    }
    action = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = {**os.environ, **asked, **action, "_REWARDPLANE_COMPLETE": f"complete_{shell}"}
    done = run([], environment)
    assert "calibrate" in done.stdout, done.stderr
    assert "serve" not in done.stdout


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("rewardplane")), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_says_its_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.output.startswith("rewardplane 0.")


@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(
    "line",
    ["serve ok.yaml --no-ray --port 0 --metrics-port 0", "list --target 192.0.2.1:50051"],
)
def test_ctrl_c_ends_it_at_any_stage_without_a_traceback(
    here: Path, line: str, after_s: float
) -> None:
    command = [str(Path(sys.executable).with_name("rewardplane")), *line.split()]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        # Before its own code runs, Python alone says how it ends.
        maps, until_s = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 30
        while "pydantic_core" not in maps.read_text() and time.monotonic() < until_s:
            time.sleep(0.02)
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told
