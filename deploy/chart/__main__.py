"""Makes the Helm chart of deploy/helm from the kustomizations beside it.

    python -m deploy.chart [--check]

From `base/` and the components come the templates; each component is switched on by a value. From
the overlays come files of values, with which the chart renders what the overlay renders:
`tests/test_chart.py` compares. Templates that are written by hand are in `HANDMADE`. `--check` only
compares with what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib

import yaml

from tests.support.rendered import DEPLOY

from .templates import templates
from .values import base_values, commented, dumped, overlay_values, schema

CHART = DEPLOY / "helm"
HANDMADE = {
    f"templates/{n}" for n in ("_helpers.tpl", "NOTES.txt", "config.yaml", "dashboard.yaml")
}
OVERLAYS = sorted(p.parent.name for p in (DEPLOY / "overlays").glob("*/kustomization.yaml"))


def chart() -> dict[str, str]:
    """All files of the chart."""
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    values = base_values()
    about = {
        "apiVersion": "v2",
        "name": "rewardplane",
        "description": "A reward service for RL fine-tuning of language models, on KubeRay",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    }
    checked = {"$schema": "http://json-schema.org/draft-07/schema#", **schema(values)}
    checked["properties"]["global"] = {"type": "object"}  # which Helm adds
    made = {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "values.yaml": commented(values),
        "values.schema.json": json.dumps(checked, indent=2) + "\n",
    }
    made |= {f"templates/{name}": text for name, text in templates().items()}
    for overlay in OVERLAYS:
        told = f"# What deploy/overlays/{overlay} says: helm install -f overlays/{overlay}.yaml\n"
        text = "".join(dumped(k, v) for k, v in overlay_values(overlay, values).items())
        made[f"overlays/{overlay}.yaml"] = told + text
    return made


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    made = chart()
    there = {
        str(p.relative_to(CHART)) for p in CHART.rglob("*") if p.is_file() and not p.is_symlink()
    } - HANDMADE
    stale = sorted(there - set(made))
    changed = [n for n, t in made.items() if n not in there or (CHART / n).read_text() != t]
    if args.check:
        if stale or changed:
            sys.exit(f"deploy/helm is not what `make chart` makes: {[*stale, *changed]}")
        return
    for name in stale:
        (CHART / name).unlink()
    for name in changed:
        path = CHART / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[name])


if __name__ == "__main__":
    main()
