"""A server to hold the manifests against, and every way to render them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rendering import KUBERNETES, Manifest, kustomize
from serving import CHECKOUT, Server, serving

COMPONENTS = sorted(folder.name for folder in (KUBERNETES / "components").iterdir())
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())

# what a component asks of the overlay that takes it
_SITE = {"models-bucket": {"configMapGenerator": [{"name": "cenet-models", "literals": ["SOURCE=models:bucket/path"]}]}}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving(CHECKOUT / "models") as started:
        yield started


@pytest.fixture(params=["base", *OVERLAYS, *COMPONENTS])
def rendered(request: pytest.FixtureRequest, tmp_path: Path) -> list[Manifest]:
    """The base, each overlay, and the base with each component alone."""
    if request.param == "base":
        return kustomize(KUBERNETES / "base")
    if request.param in OVERLAYS:
        return kustomize(KUBERNETES / "overlays" / request.param)
    return kustomize(_overlay(request.param, tmp_path))


def _overlay(component: str, folder: Path) -> Path:
    # kustomize takes relative paths alone
    up = Path(*[".."] * (len(folder.resolve().parts) - 1))
    root = up / KUBERNETES.relative_to("/")
    kustomization = {"resources": [str(root / "base")], "components": [str(root / "components" / component)]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization | _SITE.get(component, {})))
    return folder
