"""Every command of docs/bring-your-own-network.md, in its order."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "bring-your-own-network.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_every_command_of_the_page_runs(server_binary, tmp_path):
    for script in blocks("python"):
        (tmp_path / script.splitlines()[0].removeprefix("# ")).write_text(script)
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 11 and all(line.startswith("$ ") for line in lines)
    address = free_address()
    frame = ["set -em", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    script = "\n".join([*frame, *(line.removeprefix("$ ") for line in lines), "wait"])

    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cenet-serve").symlink_to(server_binary.absolute())
    environment = os.environ | {
        "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "CHECKOUT": str(CHECKOUT),
        "ORT_DYLIB_PATH": str(CHECKOUT / "runtime" / "libonnxruntime.so"),
        "CENET_HTTP_ADDR": address,
        "CENET_SINGLE_PORT": "true",
    }
    ran = subprocess.run(
        ["bash", "-c", script.replace("localhost:8000", address)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert "2 CE nodes" in ran.stdout and "native kernel" in ran.stdout
    served = re.findall(r'\{"model":"(\w+)","version"', ran.stdout)
    assert served[-2:] == ["mine", "plain"]
