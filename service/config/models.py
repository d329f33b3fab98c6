"""The `models:` of a configuration: weights that an engine serves, or an endpoint.

    models:
      skywork: {runs: hf, head: scalar, path: /models/Skywork-Reward-V2-Qwen3-0.6B, gpus: 0.5}
      luna: {runs: endpoint, wire: decisions, base_url: "https://…/v1", name: gpt-6-luna}

A model has a digest of its own: a prompt that changes restarts no engine, and one engine serves
many rewards.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from rewardplane.rewards.models.model_endpoint import ModelEndpoint
from rewardplane.rewards.reward import Reward

from .document import NAME
from .faults import told
from .replicas import Replicas

WEIGHTS = frozenset(
    {"path", "revision", "device", "dtype", "gpus", "memory_gb", "engine", "swap", "golden"}
)
"""The settings of weights that are served here, which an endpoint does not have."""


class ModelSettings(BaseModel):
    """What a configuration may set of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Literal["hf", "vllm", "endpoint", "python"]
    """What serves it: transformers, vLLM, somebody else's server, or an engine of your own."""
    head: Literal["scalar", "chat"]
    """What it answers with: one number, or the next token."""

    path: str = ""
    """The folder of the weights, absolute or beside the configuration; or a name on the hub, with
    its `revision`. Of `runs: python`: the engine's class, as ``my_pkg.engines:Engine``."""
    revision: str = ""
    """The commit of a hub name, 40 hex digits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: a GPU where the replica has one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 on a GPU, float32 on a CPU."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0
    """GPUs of each replica. A fraction shares a card: Ray counts it, nothing enforces it."""
    cpus: Annotated[float, Field(ge=0, le=256)] = 1
    """CPUs of each replica, and its threads for what runs on a CPU."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """GPU memory, in GiB, that a replica may take; wanted where `gpus` is a fraction."""
    engine: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of the engine, handed on as they are; `docs/judges.md` lists those of `hf`."""

    endpoint: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Of `runs: endpoint`: the fields of `rewards.models.model_endpoint.ModelEndpoint`, which stand
    beside the others in a configuration."""

    max_tokens: Annotated[int, Field(ge=8)] | None = None
    """The longest conversation, the answer included. None: what the weights say."""
    too_long: Literal["error", "cut_prompt"] = "error"
    """What becomes of a longer one. `cut_prompt` cuts the beginning of the prompt, never the
    response, and tells how many tokens."""
    replicas: Replicas = 1
    """Engines side by side: a number, or `{min: 0, max: 4}` for as many as the work wants; of an
    endpoint there is one door."""
    in_flight: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Items that are in the engine at once; the others wait in front of it. None: 256, of an
    endpoint 1,024."""
    determinism: Literal["none", "item", "serial"] | None = None
    """`item`: an item that came before keeps its answer (a cache by model and messages). `serial`:
    one item a forward pass, so that no answer depends on its neighbours. None: `item` for a scalar
    head in float32, else `none`."""
    golden: str = ""
    """A file of JSON lines, ``{"messages": […], "value": x}``: what the model must say, or it is
    not served."""
    golden_tolerance: Annotated[float, Field(gt=0)] = 1e-3
    """How far it may be from that."""
    swap: Literal["beside", "in_place"] = "beside"
    """How new weights come: beside the old, or, without a spare GPU, in their place: calls wait
    while the old ones are drained and the new ones loaded."""

    @property
    def places(self) -> int:
        """Items in the engine at once."""
        return self.in_flight or (1_024 if self.runs == "endpoint" else 256)

    @model_validator(mode="after")
    def _fits_together(self) -> ModelSettings:
        given = self.model_fields_set
        if self.runs == "endpoint":
            wrong = given & WEIGHTS
            if wrong:
                raise ValueError(f"{', '.join(sorted(wrong))}: not a setting of runs: endpoint")
            if self.replicas != 1:
                raise ValueError("replicas: an endpoint has one door, which keeps its limits")
            return self
        if self.endpoint:
            raise ValueError("endpoint: not a setting of weights")
        if not self.path:
            raise ValueError(f"runs: {self.runs} wants `path`")
        if self.golden and self.head == "chat":
            raise ValueError("golden: holds the numbers of a model with head `scalar`")
        if self.device == "cuda" and not self.gpus:
            raise ValueError("device: cuda wants `gpus`")
        if self.gpus > 1 and self.gpus != math.floor(self.gpus):
            raise ValueError("gpus: want a whole number, or a fraction of one card")
        if 0 < self.gpus < 1 and self.memory_gb is None:
            raise ValueError("memory_gb: say how much of the card a fraction of it may take")
        return self


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model, checked, and the digest of all that decides what it says."""

    name: str
    settings: ModelSettings
    digest: str

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all that its deployment is made of: beside the digest, its sizing."""
        data = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(data.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        settings = self.settings.model_dump(mode="json", exclude_unset=True)
        return {"name": self.name, "settings": settings, "digest": self.digest}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """The model of `as_dict`."""
        return cls(data["name"], ModelSettings(**data["settings"]), data["digest"])


_SIZING = frozenset({"replicas", "cpus", "in_flight", "memory_gb", "swap", "golden"})


def models_from(named: object, folder: Path) -> tuple[dict[str, ModelConfig], list[str]]:
    """The models under their names, and what is wrong with them."""
    models: dict[str, ModelConfig] = {}
    if not isinstance(named, dict):
        return models, ["models: want models under their names"]
    faults: list[str] = []
    for key, entry in cast("dict[object, object]", named).items():
        name = str(key)
        if not NAME.fullmatch(name):
            faults.append(f"models.{name}: want letters, digits, '.', '_', '-'; at most 128")
            continue
        try:
            models[name] = model_config(name, entry, folder)
        except ValidationError as error:
            faults += told(f"models.{name}", error, _names(entry))
        except ValueError as error:
            faults.append(f"models.{name}: {error}")
    return models, faults


def _names(entry: object) -> list[str]:
    """What may stand in an entry."""
    runs = cast("Mapping[object, object]", entry).get("runs") if isinstance(entry, Mapping) else ""
    if runs != "endpoint":
        return list(ModelSettings.model_fields.keys() - {"endpoint"})
    return [*(ModelSettings.model_fields.keys() - WEIGHTS), *ModelEndpoint.model_fields]


def model_of(reward: Reward, models: Mapping[str, ModelConfig]) -> ModelConfig | None:
    """The model that a reward asks for.

    Raises:
        ValueError: there is none of that name, or it has another head.
    """
    need = reward.needs_model
    if need is None:
        return None
    for name in need.names:
        model = models.get(name)
        if model is None:
            continue
        if model.settings.head != need.head:
            raise ValueError(
                f"model: {name!r} has head {model.settings.head!r}; kind {reward.kind!r} wants "
                f"{need.head!r}"
            )
        if reward.isolation:
            raise ValueError(f"model: what runs untrusted code cannot run beside model {name!r}")
        if not reward.is_async:
            raise ValueError(f"model: kind {reward.kind!r} is not async")
        return model
    if need.optional:
        return None
    near = get_close_matches(need.names[0], models, n=1) if need.names else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    instead = f"; or want {need.instead}" if need.instead else ""
    wanted = " or ".join(repr(name) for name in need.names)
    raise ValueError(f"model: there is no model {wanted} under `models:`{hint}{instead}")


def model_config(name: str, entry: object, folder: Path | None) -> ModelConfig:
    """One model from its entry under `models:`; paths are meant from `folder`.

    Raises:
        ValueError: it cannot be served (a `pydantic.ValidationError` where a field is wrong).
    """
    if not isinstance(entry, Mapping):
        raise ValueError("want a mapping with `runs:`")  # noqa: TRY004 - a fault of the file
    given = {str(k): v for k, v in cast("Mapping[object, Any]", entry).items()}
    if given.get("runs") == "endpoint":
        settings = _endpoint(given)
    else:
        settings = ModelSettings.model_validate(given)
        if folder is not None:
            settings = settings.model_copy(update=_at_home(settings, folder))
    return ModelConfig(name, settings, _digest(settings))


def _endpoint(given: dict[str, Any]) -> ModelSettings:
    """An endpoint: what is not a setting of every model is one of the endpoint's own."""
    common = ModelSettings.model_fields.keys() - {"endpoint"}
    own = {k: v for k, v in given.items() if k not in common}
    checked = ModelEndpoint.model_validate(own)
    head = given.setdefault("head", checked.head)
    if head != checked.head:
        raise ValueError(f"head: wire {checked.wire!r} has the head {checked.head!r}")
    ours = {k: v for k, v in given.items() if k in common}
    return ModelSettings.model_validate({**ours, "endpoint": own})


def _at_home(settings: ModelSettings, folder: Path) -> dict[str, Any]:
    """Paths made absolute; a hub name is left, and wants its revision."""
    update: dict[str, Any] = {}
    if settings.golden:
        golden = folder / settings.golden
        if not golden.is_file():
            raise ValueError(f"golden: there is no file {golden}")
        update["golden"] = str(golden)
    if settings.runs == "python":
        return {**update, "engine": {"python_path": [str(folder)], **settings.engine}}
    path = folder / Path(settings.path).expanduser()
    if path.is_dir():
        return {**update, "path": str(path)}
    looks_like_hub = settings.path.count("/") == 1 and not settings.path.startswith((".", "/", "~"))
    if not looks_like_hub:
        raise ValueError(f"path: there is no folder {path}")
    if not _COMMIT.fullmatch(settings.revision):
        # A branch or a tag moves: two replicas of one digest would be two models.
        raise ValueError(
            f"revision: {settings.path} is a name on the hub: say which commit (40 hex digits)"
        )
    return update


def _digest(settings: ModelSettings) -> str:
    """Of the settings that decide answers, and of the weights: files' names, sizes and heads."""
    deciding = settings.model_dump(mode="json", exclude=set(_SIZING))
    deciding["files"] = _files(settings)
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:16]


def _files(settings: ModelSettings) -> list[list[Any]]:
    """Of a folder of weights: small files by content, large ones by size, head and time.

    Gigabytes are not read at each start; who writes new weights writes them with a new time.
    """
    folder = Path(settings.path)
    if settings.runs not in ("hf", "vllm") or not folder.is_dir():
        return []
    found: list[list[Any]] = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        status = path.stat()
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(_SMALL_BYTES)).hexdigest()
        large = status.st_size > _SMALL_BYTES
        found.append([path.name, status.st_size, head, *([status.st_mtime_ns] if large else [])])
    return found


_SMALL_BYTES = 2**20
_COMMIT = re.compile(r"[0-9a-f]{40}")
