#!/usr/bin/env python3
"""Put ONNX Runtime's shared library, pinned by version and hash, into a folder.

The wheel is asked for by platform, so the Python that runs this need not be one that the wheel supports.
"""

import argparse
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

PINNED = pathlib.Path(__file__).with_name("onnxruntime.txt")
WHEEL_PYTHON = "312"
WHEEL_PLATFORMS = {
    ("Linux", "x86_64"): "manylinux_2_28_x86_64",
    ("Linux", "aarch64"): "manylinux_2_28_aarch64",
    ("Darwin", "arm64"): "macosx_14_0_arm64",
}
# What the server and the tests open, on every platform.
LIBRARY_LINK = "libonnxruntime.so"
NOTICES = ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt")


def download_wheel(wheel_platform: str, folder: pathlib.Path) -> pathlib.Path:
    """Download the pinned wheel for `wheel_platform` into `folder`; pip checks its hash."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--only-binary=:all:", "--implementation", "cp", "--python-version", WHEEL_PYTHON,
         "--abi", f"cp{WHEEL_PYTHON}", "--platform", wheel_platform, "--require-hashes",
         "--requirement", str(PINNED), "--dest", str(folder)],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def extract_library(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Take the shared library and its notices out of `wheel` into `folder`, with a link of one name."""
    with zipfile.ZipFile(wheel) as archive:
        (library,) = (name for name in archive.namelist()
                      if pathlib.PurePath(name).name.startswith(("libonnxruntime.so.", "libonnxruntime.1")))
        for member in (library, *NOTICES):
            with archive.open(member) as source, open(folder / pathlib.PurePath(member).name, "wb") as target:
                shutil.copyfileobj(source, target)
    (folder / LIBRARY_LINK).symlink_to(pathlib.PurePath(library).name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where to put it; replaced if it exists")
    folder = parser.parse_args().folder
    host = (platform.system(), platform.machine())
    if host not in WHEEL_PLATFORMS:
        sys.exit(f"no ONNX Runtime is published for {' '.join(host)}: "
                 "build it yourself and set ORT_DYLIB_PATH to its shared library")
    with tempfile.TemporaryDirectory(dir=folder.resolve().parent) as scratch:
        fresh = pathlib.Path(scratch, "fresh")
        fresh.mkdir()
        extract_library(download_wheel(WHEEL_PLATFORMS[host], pathlib.Path(scratch)), fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


if __name__ == "__main__":
    main()
