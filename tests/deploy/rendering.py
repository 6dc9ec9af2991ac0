"""The manifests of deploy/ as those read them that they are for."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"

Manifest = dict[str, Any]


def ran(*command: str | Path) -> str:
    """What the command prints; its complaint is the failure."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def kustomize(folder: Path) -> list[Manifest]:
    """What kustomize makes of `folder`. Without it, and without kubectl that holds it, the test is passed over."""
    if shutil.which("kustomize"):
        return documents(ran("kustomize", "build", folder))
    if shutil.which("kubectl"):
        return documents(ran("kubectl", "kustomize", folder))
    pytest.skip("neither kustomize nor kubectl is installed")


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(manifests: list[Manifest], kind: str) -> Manifest:
    [manifest] = of_kind(manifests, kind)
    return manifest


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes an object with these labels. One that asks for nothing is taken for a mistake."""
    assert selector.get("matchLabels"), f"selects everything or nothing: {json.dumps(selector)}"
    wanted = selector["matchLabels"].items() <= labels.items()
    return wanted and all(_holds(expression, labels) for expression in selector.get("matchExpressions", ()))


def _holds(expression: Manifest, labels: dict[str, str]) -> bool:
    match expression["operator"]:
        case "Exists":
            return expression["key"] in labels
        case "DoesNotExist":
            return expression["key"] not in labels
        case operator:
            raise AssertionError(f"the tests don't know {operator}")


def values(tree: Any, key: str) -> Iterator[Any]:
    """Every value of `key`, however deep."""
    for name, branch in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        if name == key:
            yield branch
        yield from values(branch, key)
