#!/usr/bin/env python3
"""Put ONNX Runtime's shared library, pinned by version and hash, into a folder.

The wheels are asked for by platform, so the Python that runs this need not be one that they support.
"""

import argparse
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

WHEEL_PYTHON = "312"
WHEEL_PLATFORMS = {
    ("Linux", "x86_64"): ("manylinux_2_28_x86_64",),
    ("Linux", "aarch64"): ("manylinux_2_28_aarch64",),
    ("Darwin", "arm64"): ("macosx_14_0_arm64",),
}
# NVIDIA's wheels name older platforms
GPU_PLATFORMS = {
    ("Linux", "x86_64"): ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64"),
}
# the files of pins beside this one
VARIANTS = {
    "cpu": ("onnxruntime.txt",),
    "gpu": ("onnxruntime-gpu.txt",),
    "cuda": ("onnxruntime-gpu.txt", "cuda.txt", "nvrtc.txt"),
    "compiler": ("nvrtc.txt",),
}
# What the server and the tests open, on every platform.
LIBRARY_LINK = "libonnxruntime.so"
RUNTIME = re.compile(
    r"onnxruntime/capi/(libonnxruntime\.(so\.|1).*|libonnxruntime_providers_(shared|cuda|tensorrt)\.so)"
    r"|onnxruntime/(LICENSE|ThirdPartyNotices\.txt)"
)
# without second builds and CUDA's stand-in for other programs' BLAS
NVIDIA_LIBRARY = re.compile(r"nvidia/.*/lib/lib(?!nvblas)(?!.*\.alt\.).*\.so[.\d]*")
NVIDIA_LICENSE = re.compile(r"(nvidia_[a-z0-9_]+)-.*\.dist-info/(licenses/)?License\.txt")


def download_wheels(pins: tuple[str, ...], platforms: tuple[str, ...], folder: pathlib.Path) -> list[pathlib.Path]:
    """Download the pinned wheels for one of `platforms` into `folder`; pip checks their hashes."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--implementation", "cp", "--python-version", WHEEL_PYTHON,
        "--abi", f"cp{WHEEL_PYTHON}", "--abi", "none", "--require-hashes", "--dest", str(folder),
    ]
    command += [word for name in platforms for word in ("--platform", name)]
    command += [word for name in pins for word in ("--requirement", str(pathlib.Path(__file__).with_name(name)))]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def place(member: str) -> str | None:
    """Say by what name a wheel's member is kept, if it is."""
    if RUNTIME.fullmatch(member) or NVIDIA_LIBRARY.fullmatch(member):
        return pathlib.PurePath(member).name
    if license_of := NVIDIA_LICENSE.fullmatch(member):
        return f"LICENSE.{license_of[1]}"
    return None


def extract(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    """Take the shared libraries and their notices out of `wheel` into `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if name := place(member):
                with archive.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)


def link(folder: pathlib.Path) -> None:
    """Give ONNX Runtime's library the same name on every platform."""
    (library,) = (path for path in folder.iterdir() if path.name.startswith(("libonnxruntime.so.", "libonnxruntime.1")))
    (folder / LIBRARY_LINK).symlink_to(library.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where to put it; replaced if it exists")
    parser.add_argument("--variant", choices=VARIANTS, default="cpu",
                        help="cpu; gpu: with the providers for NVIDIA's GPUs; cuda: that with CUDA's libraries (GB); "
                             "compiler: NVRTC alone, without ONNX Runtime")
    options = parser.parse_args()
    folder = options.folder
    host = (platform.system(), platform.machine())
    platforms = (WHEEL_PLATFORMS if options.variant == "cpu" else GPU_PLATFORMS).get(host)
    if platforms is None:
        sys.exit(f"no ONNX Runtime ({options.variant}) is published for {' '.join(host)}: "
                 "build it yourself and set ORT_DYLIB_PATH to its shared library")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.resolve().parent) as scratch:
        fresh = pathlib.Path(scratch, "fresh")
        fresh.mkdir()
        for wheel in download_wheels(VARIANTS[options.variant], platforms, pathlib.Path(scratch)):
            extract(wheel, fresh)
        if options.variant != "compiler":
            link(fresh)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


if __name__ == "__main__":
    main()
