"""Where the data of tests lies: the variable CENET_TEST_DATA, by default `shared/data` beside the checkout.

The server's binary is what CENET_SERVE_BINARY names, by default what cargo built last.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

# The networks under test are too small to gain from threads, and lose to their start.
torch.set_num_threads(1)

_REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data_root() -> Path:
    return Path(os.environ.get("CENET_TEST_DATA", _REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def official_format(data_root: Path) -> Path:
    """The folder with the authors' checkpoint format and their code's outputs; skips the test where it is absent."""
    folder = data_root / "official-format"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set CENET_TEST_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def block_cases(official_format: Path) -> dict[str, np.ndarray]:
    with np.load(official_format / "ce_block_cases.npz") as cases:
        return dict(cases)


@pytest.fixture(scope="session")
def server_binary() -> Path:
    """`cenet-serve`; skips the test where it isn't built."""
    if named := os.environ.get("CENET_SERVE_BINARY"):
        return Path(named)
    built = [file for kind in ("debug", "release") if (file := _REPOSITORY / "target" / kind / "cenet-serve").is_file()]
    if not built:
        pytest.skip("no cenet-serve: build it, or name it by CENET_SERVE_BINARY, to run this test")
    return max(built, key=lambda file: file.stat().st_mtime)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Discs and squares in random places and colours, and a folder to leave out."""
    root = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    for name in ("disc", "square", "ZZ_clutter"):
        (root / name).mkdir()
        for index in range(20):
            x, y, red, green, blue = torch.randint(20, 90, (5,), generator=generator).tolist()
            image = Image.new("RGB", (160, 120), (red, green, blue))
            shape = (x, y - 15, x + 45, y + 30)
            draw = ImageDraw.Draw(image)
            (draw.ellipse if name == "disc" else draw.rectangle)(shape, fill=(255 - red, 255 - green, 200))
            image.save(root / name / f"{index:02}.jpg")
    return root
