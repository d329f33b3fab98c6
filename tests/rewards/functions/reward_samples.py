"""Custom functions in every shape, as their authors would write them."""

from __future__ import annotations

import asyncio
import functools


def evaluate(example, response):
    text = response.get("parts", [])[0]["text"]
    return 1.0 if text == example.get("references", {}).get("answer") else -1.0


async def evaluate_async(example, response):
    await asyncio.sleep(0)
    return evaluate(example, response)


def grade(sample, item):
    return float(sample["output_text"] == item["answer"])


async def grade_async(sample, item):
    await asyncio.sleep(0)
    return grade(sample, item)


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return {"score": float(solution_str == ground_truth), "acc": 1}


async def compute_score_async(data_source, solution_str, ground_truth, extra_info=None):
    await asyncio.sleep(0)
    return compute_score(data_source, solution_str, ground_truth, extra_info)


def short_compute_score(solution_str, ground_truth):
    return solution_str == ground_truth


def trl(completions, answer, **kwargs):
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


async def trl_async(prompts, completions, **columns):
    await asyncio.sleep(0)
    return trl(completions, columns["answer"])


def trl_size(completions, **kwargs):
    return [float(len(completions))] * len(completions)


def score_group(example, responses):
    longest = max(len(r.text) for r in responses)
    return [float(len(r.text) == longest) for r in responses]


async def score_group_async(example, responses):
    await asyncio.sleep(0)
    return score_group(example, responses)


class Model:
    def __init__(self, weight=1.0):
        self.weight = weight
        self.loaded = 0

    def setup(self):
        self.loaded += 1

    def score(self, items):
        assert self.loaded == 1
        return [self.weight * len(response.text) for _, response in items]


class AsyncModel(Model):
    async def score(self, items):
        await asyncio.sleep(0)
        return super().score(items)


class Bare:
    def score(self, batch):
        return [0.5] * len(batch)


class Callable:
    async def __call__(self, example, response):
        return 0.25


an_instance = Callable()
a_partial = functools.partial(compute_score, extra_info={})
_with_weight = lambda example, response, weight: weight  # noqa: E731
a_partial_async = functools.partial(evaluate_async)


def weighted(example, response, weight=1.0, *, bonus=0.0):
    return weight + bonus


def strangely_named(line, answer_given):
    return float(line["references"]["answer"] == answer_given["parts"][0]["text"])


def positional(example, response, /):
    return 0.75


def ambiguous(example, response, responses):
    return 0.0


def nothing(x, y):
    return 0.0


def wants_more(example, response, temperature):
    return 0.0


def gives_back(example, response):
    return {"score": 1.0, **example["references"]["components"]}


def gives_back_many(prompts, completions, results, **columns):
    return results[0]


NOT_CALLABLE = 3


class NoScore:
    pass


class AsyncSetup:
    async def setup(self):
        pass

    def score(self, items):
        return []


class NeedsArguments:
    def __init__(self, path):
        self.path = path

    def score(self, items):
        return [1.0] * len(items)


class _AsyncLengths:
    async def __call__(self, prompts, completions, scale=1.0, **columns):
        await asyncio.sleep(0)
        return [len(completion) * scale for completion in completions]


async_partial = functools.partial(_AsyncLengths(), scale=1.0)
async_partial_twice = functools.partial(functools.partial(_AsyncLengths()), scale=1.0)
async_partial_of_a_method = functools.partial(_AsyncLengths().__call__, scale=1.0)


def _decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@_decorated
async def async_decorated(prompts, completions, **columns):
    await asyncio.sleep(0)
    return [len(completion) for completion in completions]


def async_by_hand(prompts, completions, **columns):
    return async_decorated(prompts=prompts, completions=completions)


def async_run_inside(prompts, completions, **columns):
    return asyncio.run(async_by_hand(prompts, completions))


_LOCKS = []


def async_keeps_its_loop(prompts, completions, **columns):
    async def inner():
        _LOCKS.append(asyncio.get_running_loop())
        assert len(set(_LOCKS)) == 1
        return [len(completion) for completion in completions]

    return inner()
