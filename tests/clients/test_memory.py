"""A body takes memory in proportion to its bytes, whatever it says."""

import json
import sys
from pathlib import Path

import pytest
import requests

from golden import CLASSIFIER, INPUT
from serving import Server, serving

TIMEOUT_S = 60
BODY_BYTES = 30 << 20
# the server's own copy, what is read from it, and room for either to grow by doubling
MOST_TIMES = 16

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")


def peak_bytes(server: Server) -> int:
    """The most memory that the server has held."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes) << 10


def head(data: str = "", **fields: object) -> str:
    """JSON of one input; `data` stands for its data."""
    tensor = {"name": INPUT, "shape": [1], "datatype": "BYTES"} | fields | ({"data": "DATA"} if data else {})
    return json.dumps({"inputs": [tensor]}).replace('"DATA"', data)


def listed(element: str) -> tuple[str, int]:
    """As many of `element` as fill a body, and their number."""
    count = BODY_BYTES // (len(element) + 1)
    return f"[{','.join([element] * count)}]", count


def empty_pictures() -> tuple[str, bytes]:
    count = BODY_BYTES // 4
    return head(shape=[count], parameters={"binary_data_size": count * 4}), bytes(count * 4)


def json_data(element: str, datatype: str) -> tuple[str, bytes]:
    data, count = listed(element)
    return head(data, shape=[count], datatype=datatype), b""


def list_instead_of(field: str, element: str) -> tuple[str, bytes]:
    data, _ = listed(element)
    return f'{{"inputs": [], "{field}": {data}}}'.replace('"inputs": [], "inputs"', '"inputs"'), b""


BODIES = {
    "empty pictures": empty_pictures,
    "empty pictures as JSON": lambda: json_data('""', "BYTES"),
    "numbers as JSON": lambda: json_data("0", "FP32"),
    "nested numbers as JSON": lambda: json_data("[0]", "FP32"),
    "inputs": lambda: list_instead_of("inputs", '{"name":"","shape":[],"datatype":""}'),
    "outputs": lambda: list_instead_of("outputs", '{"name":""}'),
    "axes": lambda: (head("[1]", datatype="FP32").replace("[1]", listed("1")[0], 1), b""),
}


@pytest.mark.parametrize("name", BODIES)
def test_memory_of_a_body(name: str):
    text, data = BODIES[name]()
    with serving(CLASSIFIER.folder.parent) as server:
        before = peak_bytes(server)
        response = requests.post(
            f"{server.url}/v2/models/{CLASSIFIER.name}/infer",
            data=text.encode() + data,
            headers={"Inference-Header-Content-Length": str(len(text))},
            timeout=TIMEOUT_S,
        )
        assert response.status_code == 400
        assert len(response.content) < 2000
        assert peak_bytes(server) - before < MOST_TIMES * BODY_BYTES
