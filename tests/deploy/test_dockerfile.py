"""The Dockerfile, without building it: its layer of dependencies has a stand-in for all that Cargo looks for."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from serving import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text().replace("\\\n", " ")


def packages() -> list[Path]:
    """The folders of the workspace's packages, within the checkout."""
    members = tomllib.loads((CHECKOUT / "Cargo.toml").read_text())["workspace"]["members"]
    return [Path("."), *map(Path, members)]


def sources_of(package: Path) -> Iterator[Path]:
    """The sources of a manifest's targets."""
    manifest = tomllib.loads((CHECKOUT / package / "Cargo.toml").read_text())
    for bench in manifest.get("bench", []):
        yield package / bench.get("path", f"benches/{bench['name']}.rs")
    yield package / manifest.get("lib", {}).get("path", "src/lib.rs")
    for program in manifest.get("bin", []):
        yield package / program["path"]


def lines(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith(f"{instruction} ")]


def test_every_manifest_is_copied_before_the_dependencies_are_built():
    copied = {Path(source) for *sources, _ in lines("COPY") for source in sources}
    assert {package / "Cargo.toml" for package in packages()} <= copied


def test_every_source_has_a_stand_in():
    [stand_ins] = [words for words in lines("RUN") if "tee" in words]
    missing = {str(file) for package in packages() for file in sources_of(package)} - set(stand_ins)
    assert not missing


def test_what_is_copied_is_in_the_context():
    kept = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for *sources, _ in lines("COPY"):
        if not sources[0].startswith("--from"):
            assert {Path(source).parts[0] for source in sources} <= kept
            assert all((CHECKOUT / source).exists() for source in sources)
