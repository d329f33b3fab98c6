"""A reward that does what the response says, whatever that does to its process. In every shape.

A response is a command with arguments, or a number, which is then the reward. Where the example has
a reference `log`, each execution appends its response to that file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from rewardplane.rewards import Unavailable

LEAKED = []
LOOP_HELD = threading.Event()


def note(log, text):
    if log:
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, text.encode() + b"\n")
        os.close(fd)


def act(text):
    command, *arguments = text.split(" ")
    if command not in COMMANDS:
        return float(command)
    return COMMANDS[command](*arguments)


def hang():
    return sum(iter(int, 1))


def power():
    return float((10**10**8).bit_length())


def end(code="3"):
    os._exit(int(code))


def crash():
    ctypes.string_at(0)


def abort():
    os.abort()


def allocate():
    return float(len(bytearray(8 << 30)))


def leak(megabytes):
    LEAKED.append(bytes(int(megabytes) << 20))  # not touched: costs address space, no time
    return 1.0


def leave():
    raise SystemExit(1)


def interrupt():
    raise KeyboardInterrupt


def stop_iteration():
    raise StopIteration("no more")


def cancel():
    raise asyncio.CancelledError


def refuse(*words):
    raise ValueError(" ".join(words))


def be_unavailable():
    raise Unavailable("its service does not answer")


def signal_me(name):
    os.kill(os.getpid(), getattr(signal, name))
    return 1.0


def close_descriptors():
    for descriptor in range(51):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    return 1.0


def close_all_descriptors():
    os.closerange(3, 4096)
    return 1.0


def stray(size):
    """Writes into every socket that this process has."""
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(path.readlink()).startswith("socket:"):
                os.write(int(path.name), b"\x7f" * int(size))
    return 1.0


def shout(megabytes):
    line = "x" * 1023 + "\n"
    for _ in range(int(megabytes) << 10):
        sys.stdout.write(line)
    sys.stderr.write(line)
    return 1.0


def fork_and_return():
    os.fork()
    return 1.0


def leave_child(seconds):
    """The pid of a process that this one leaves behind."""
    return float(subprocess.Popen(["sleep", seconds]).pid)


def leave_child_and_hang(seconds, path):
    Path(path).write_text(str(int(leave_child(seconds))))
    return hang()


def start_thread():
    threading.Thread(target=lambda: time.sleep(600)).start()
    return 1.0


def pause(seconds, reward="1"):
    time.sleep(float(seconds))
    return float(reward)


def spin(seconds):
    until = time.perf_counter() + float(seconds)
    while time.perf_counter() < until:
        pass
    return 1.0


def recurse():
    return recurse()


def explain(count):
    return "no number but " + "x" * int(count)


COMMANDS = {
    "hang": hang,
    "power": power,
    "exit": end,
    "segfault": crash,
    "abort": abort,
    "allocate": allocate,
    "leak": leak,
    "systemexit": leave,
    "keyboard": interrupt,
    "stopiteration": stop_iteration,
    "cancelled": cancel,
    "raise": refuse,
    "unavailable": be_unavailable,
    "signal": signal_me,
    "close": close_descriptors,
    "closeall": close_all_descriptors,
    "shout": shout,
    "stray": stray,
    "fork": fork_and_return,
    "child": leave_child,
    "childhang": leave_child_and_hang,
    "thread": start_thread,
    "sleep": pause,
    "spin": spin,
    "recurse": recurse,
    "string": lambda: "one",
    "words": explain,
    "nan": lambda: float("nan"),
    "infinite": lambda: float("inf"),
    "none": lambda: None,
    "huge": lambda: 10**400,
    "pid": lambda: float(os.getpid()),
}


def one(sample, item):
    """Shape `grade`."""
    note(item.get("log"), sample["output_text"])
    return act(sample["output_text"])


def parts(sample, item):
    """Two components."""
    reward = act(sample["output_text"])
    return {"score": reward, "half": reward / 2, "double": reward * 2}


def group(completions, log=None, **_):
    """Shape `trl`: one call for a group."""
    note(log[0] if log else None, f"call of {len(completions)}")
    if "short" in completions:
        return [1.0]
    if "exit 3 if alone" in completions and len(completions) == 1:
        end()
    if "long" in completions:
        return [1.0] * (len(completions) + 1)
    if "dict" in completions:
        return {"score": 1.0}
    rewards = []
    for text in completions:
        note(log[0] if log else None, text)
        rewards.append(1.0 if text.endswith("if alone") else act(text))
    return rewards


def whole(example, responses):
    """Shape `score_group`: the reward is the size of the group."""
    note(example.references.get("log"), f"call of {len(responses)}")
    for response in responses:
        act(response.text)
    return [float(len(responses))] * len(responses)


class Batch:
    """Any mix of items; the reward is the response's number."""

    def __init__(self, wait="0"):
        self.wait = wait

    def setup(self):
        time.sleep(float(self.wait))

    def score(self, items):
        return [act(response.text) for _, response in items]


class Broken:
    """Its set-up does what `how` says."""

    def __init__(self, how):
        self.how = how

    def setup(self):
        act(self.how)

    def score(self, items):
        return [1.0 for _ in items]


def step(reward):
    return {"score": float(reward), "seen": 1}


async def one_async(sample, item):
    """Shape `grade`, async: some commands of its own."""
    text = sample["output_text"]
    note(item.get("log"), text)
    return await act_async(text)


async def act_async(text):
    command, *arguments = text.split(" ")
    if command == "wait":
        await asyncio.sleep(float(arguments[0]))
        return float(arguments[1]) if len(arguments) > 1 else 1.0
    if command == "never":
        await asyncio.get_running_loop().create_future()
    if command == "swallow":
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
    if command == "cancelself":
        asyncio.current_task().cancel()
        await asyncio.sleep(1)
    if command == "cancelall":
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(1)
    if command == "stoploop":
        asyncio.get_running_loop().stop()
        await asyncio.sleep(1)
    if command == "later":  # what follows is done by a task of its own, after a while
        return await asyncio.create_task(_later(" ".join(arguments)))
    if command == "inthread":
        return await asyncio.to_thread(act, " ".join(arguments))
    await asyncio.sleep(0)
    return act(text)


async def _later(text):
    await asyncio.sleep(0.1)
    return act(text)


async def group_async(completions, log=None, **_):
    """Shape `trl`, async."""
    note(log[0] if log else None, f"call of {len(completions)}")
    return list(await asyncio.gather(*(act_async(text) for text in completions)))
