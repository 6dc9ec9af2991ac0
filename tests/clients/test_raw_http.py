"""Plain HTTP: bodies that no client of good will makes, and right ones that Triton's client doesn't make."""

import gzip
import json
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
import requests

from golden import CLASSIFIER, INPUT, SCORES, assert_close
from serving import Server

LENGTH = "Inference-Header-Content-Length"
INFER = f"/v2/models/{CLASSIFIER.name}/infer"
SHAPE = list(CLASSIFIER.tensor.shape)
BYTES = CLASSIFIER.tensor.tobytes()
TIMEOUT_S = 60


class Site(NamedTuple):
    """The server; each request has a connection of its own, unless a session is named."""

    url: str
    session: Any = requests

    def ask(self, method: str, path: str) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=TIMEOUT_S)

    def get(self, path: str) -> requests.Response:
        return self.ask("GET", path)

    def post(self, path: str, body: bytes = b"", **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(self.url + path, data=body, headers=named, timeout=TIMEOUT_S)

    def infer(self, body: bytes, length: Any = None, **headers: str) -> requests.Response:
        if length is not None:
            headers[LENGTH] = str(length)
        return self.post(INFER, body, **headers)


@pytest.fixture
def site(server: Server) -> Site:
    return Site(server.url)


def tensor(**fields: Any) -> dict:
    return {"name": INPUT, "shape": SHAPE, "datatype": "FP32"} | fields


def request(*inputs: dict, **fields: Any) -> bytes:
    return json.dumps({"inputs": inputs, **fields}).encode()


def sized(size: Any, **fields: Any) -> bytes:
    return request(tensor(parameters={"binary_data_size": size}, **fields))


def scores(response: requests.Response) -> np.ndarray:
    """The one output, from the bytes behind the JSON or from the JSON."""
    assert response.status_code == 200, response.text
    length = response.headers.get(LENGTH)
    answer = json.loads(response.content[: int(length)] if length else response.content)
    [output] = answer["outputs"]
    assert (output["name"], output["datatype"]) == (SCORES, "FP32")
    if "data" in output:
        return np.array(output["data"], np.float32).reshape(output["shape"])
    data = response.content[int(length) :]
    assert len(data) == output["parameters"]["binary_data_size"]
    return np.frombuffer(data, np.float32).reshape(output["shape"])


def assert_good(response: requests.Response) -> None:
    assert_close(scores(response), CLASSIFIER.outputs[SCORES])


def assert_refused(response: requests.Response, status: int = 400) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert 0 < len(response.json()["error"]) < 2000


GOOD = sized(len(BYTES))


def test_raw_tensor(site: Site):
    assert_good(site.infer(BYTES, 0))


def test_raw_picture(site: Site):
    assert_good(site.infer(CLASSIFIER.picture, 0))


def test_binary_in_json_out(site: Site):
    response = site.infer(GOOD + BYTES, len(GOOD))
    assert LENGTH not in response.headers
    assert response.headers["content-type"] == "application/json"
    assert_good(response)


def test_content_types_are_not_looked_at(site: Site):
    for kind in ("application/octet-stream", "application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert_good(site.infer(GOOD + BYTES, len(GOOD), Content_Type=kind))


@pytest.mark.parametrize(
    "data", [CLASSIFIER.tensor.tolist(), CLASSIFIER.tensor.flatten().tolist()], ids=["nested", "flat"]
)
def test_json(site: Site, data: list):
    assert_good(site.infer(request(tensor(data=data))))


def test_what_the_protocol_does_not_know_is_passed_over(site: Site):
    body = request(tensor(data=CLASSIFIER.tensor.tolist(), extra=1), extra={"deep": [1]}, parameters={"other": None})
    assert_good(site.infer(body))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_answer_says_so(site: Site, encoding: str):
    response = site.infer(request(tensor(data=CLASSIFIER.tensor.tolist())), Accept_Encoding=encoding)
    assert response.headers.get("content-encoding") == encoding
    assert_good(response)


def bytes_tensor(*lengths: int, data: bytes = b"", shape: tuple[int, ...] = (1,)) -> tuple[bytes, bytes]:
    """A request of a BYTES tensor whose elements say `lengths`, each followed by `data`."""
    content = b"".join(struct.pack("<I", length) + data for length in lengths)
    return sized(len(content), shape=list(shape), datatype="BYTES"), content


def case(head: bytes, data: bytes = b"") -> tuple[bytes, int]:
    """JSON with bytes behind it, and the true length of the JSON."""
    return head + data, len(head)


NUMBERS = CLASSIFIER.tensor.flatten().tolist()
DEEP = b"[" * 10_000 + b"1" + b"]" * 10_000
JSON_TENSOR = request(tensor(data=[]))

# name: body, the header's value or none
BAD = {
    "header huge": (GOOD + BYTES, 10**30),
    "header the largest number": (GOOD + BYTES, 2**64 - 1),
    "header beyond the body": (GOOD + BYTES, len(GOOD) + len(BYTES) + 1),
    "header negative": (GOOD + BYTES, -1),
    "header no number": (GOOD + BYTES, "many"),
    "header empty": (GOOD + BYTES, ""),
    "header fractional": (GOOD + BYTES, f"{len(GOOD)}.0"),
    "header with a unit": (GOOD + BYTES, f"{len(GOOD)} bytes"),
    "header too small": (GOOD + BYTES, len(GOOD) - 1),
    "header too large": (GOOD + BYTES, len(GOOD) + 1),
    "header absent": (GOOD + BYTES, None),
    "raw empty": (b"", 0),
    "empty": (b"", None),
    "no JSON": (b"\xff\xfe\x00", None),
    "JSON cut off": (GOOD[:-1], None),
    "JSON list": (b"[]", None),
    "JSON null": (b"null", None),
    "JSON number": (b"1", None),
    "JSON deep": (DEEP, None),
    "JSON deep objects": (b'{"inputs":' * 10_000 + b"1" + b"}" * 10_000, None),
    "JSON deep in data": (JSON_TENSOR.replace(b"[]", DEEP), None),
    "JSON deep in parameters": (b'{"inputs": [], "parameters": ' + DEEP + b"}", None),
    "inputs absent": (b"{}", None),
    "inputs null": (b'{"inputs": null}', None),
    "inputs an object": (b'{"inputs": {}}', None),
    "inputs empty": (b'{"inputs": []}', None),
    "input without a name": (request({"shape": SHAPE, "datatype": "FP32", "data": NUMBERS}), None),
    "input without a shape": (request({"name": INPUT, "datatype": "FP32", "data": NUMBERS}), None),
    "input without a type": (request({"name": INPUT, "shape": SHAPE, "data": NUMBERS}), None),
    "input without data": (request(tensor()), None),
    "input with data twice": case(request(tensor(data=NUMBERS, parameters={"binary_data_size": len(BYTES)})), BYTES),
    "input with a long name": case(sized(len(BYTES), name="x" * 1_000_000), BYTES),
    "output with a long name": (request(tensor(data=NUMBERS), outputs=[{"name": "x" * 1_000_000}]), None),
    "type with a long name": case(sized(len(BYTES), datatype="x" * 1_000_000), BYTES),
    "type unknown": case(sized(len(BYTES), datatype="FP33"), BYTES),
    "type in lower case": case(sized(len(BYTES), datatype="fp32"), BYTES),
    "size too small": case(sized(len(BYTES) - 1), BYTES),
    "size too large": case(sized(len(BYTES) + 1), BYTES),
    "size zero": case(sized(0), BYTES),
    "size the largest number": case(sized(2**64 - 1), BYTES),
    "size beyond numbers": case(sized(2**64), BYTES),
    "size wraps to the true one": case(sized(2**64 + len(BYTES)), BYTES),
    "size negative": case(sized(-len(BYTES)), BYTES),
    "size fractional": case(sized(len(BYTES) + 0.5), BYTES),
    "size as text": case(sized(str(len(BYTES))), BYTES),
    "sizes that wrap together": case(
        request(*(tensor(parameters={"binary_data_size": size}) for size in (2**63, 2**63, len(BYTES)))), BYTES
    ),
    "bytes that belong to nobody": case(GOOD, BYTES + b"1234"),
    "bytes missing": case(GOOD, BYTES[:-4]),
    "bytes behind JSON data": case(request(tensor(data=NUMBERS)), BYTES),
    "shape overflows": case(sized(len(BYTES), shape=[2**62, 2**62, 2**62, 2**62]), BYTES),
    "shape overflows to the true size": case(sized(len(BYTES), shape=[2**63 // 64 + 1, 3, 64, 64]), BYTES),
    "shape overflows in bytes": case(sized(0, shape=[2**62]), b""),
    "shape overflow behind a zero": case(sized(0, shape=[0, 2**62, 2**62, 2**62]), b""),
    "shape negative": case(sized(len(BYTES), shape=[-1, 3, 64, 64]), BYTES),
    "shape negative twice": case(sized(len(BYTES), shape=[-1, -3, 64, 64]), BYTES),
    "shape zero": case(sized(0, shape=[0, 3, 64, 64]), b""),
    "shape empty": case(sized(4, shape=[]), b"1234"),
    "shape fractional": case(sized(len(BYTES), shape=[1, 3, 64, 64.5]), BYTES),
    "shape beyond numbers": case(sized(len(BYTES), shape=[10**30, 3, 64, 64]), BYTES),
    "shape as text": case(sized(len(BYTES), shape=["1", 3, 64, 64]), BYTES),
    "shape of a million axes": case(sized(len(BYTES), shape=[1] * 1_000_000), BYTES),
    "JSON data too short": (request(tensor(data=NUMBERS[:-1])), None),
    "JSON data too long": (request(tensor(data=[*NUMBERS, 0.0])), None),
    "JSON data of texts": (request(tensor(data=["1"] * len(NUMBERS))), None),
    "JSON data of nulls": (request(tensor(data=[None] * len(NUMBERS))), None),
    "JSON data of objects": (request(tensor(data=[{}] * len(NUMBERS))), None),
    "JSON data NaN": (request(tensor(data=[float("nan"), *NUMBERS[1:]])), None),
    "JSON data beyond numbers": (request(tensor(data=NUMBERS)).replace(b"[", b"[1e999,", 1), None),
    "JSON data no list": (request(tensor(data=1.0)), None),
    "BYTES of numbers in JSON": (request(tensor(shape=[1], datatype="BYTES", data=[1])), None),
    "BYTES longer than they are": case(*bytes_tensor(100, data=b"abc")),
    "BYTES longer than numbers": case(*bytes_tensor(2**32 - 1, data=b"abc")),
    "BYTES shorter than they are": case(*bytes_tensor(1, data=b"abcdef")),
    "BYTES of half a length": case(sized(2, shape=[1], datatype="BYTES"), b"\x01\x00"),
    "BYTES of nothing": case(sized(0, shape=[1], datatype="BYTES"), b""),
    "BYTES too many": case(*bytes_tensor(3, 3, data=b"abc", shape=(1,))),
    "BYTES too few": case(*bytes_tensor(3, data=b"abc", shape=(2,))),
    "BYTES of a huge shape": case(*bytes_tensor(3, data=b"abc", shape=(2**62,))),
    "a million empty BYTES": case(*bytes_tensor(*[0] * 1_000_000, shape=(1_000_000,))),
    "id a number": (request(tensor(data=NUMBERS), id=7), None),
    "outputs no list": (request(tensor(data=NUMBERS), outputs={"name": SCORES}), None),
    "output without a name": (request(tensor(data=NUMBERS), outputs=[{}]), None),
    "output unknown": (request(tensor(data=NUMBERS), outputs=[{"name": "nothing"}]), None),
    "classification as text": (
        request(tensor(data=NUMBERS), outputs=[{"name": SCORES, "parameters": {"classification": "3"}}]),
        None,
    ),
    "timeout as text": (request(tensor(data=NUMBERS), parameters={"timeout": "soon"}), None),
    "timeout negative": (request(tensor(data=NUMBERS), parameters={"timeout": -1}), None),
    "priority as text": (request(tensor(data=NUMBERS), parameters={"priority": "first"}), None),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_body(site: Site, name: str):
    body, length = BAD[name]
    response = site.infer(body, length)
    if name == "a million empty BYTES":
        # more pictures than the server ever takes at once, or an empty one: either is true
        assert response.status_code in (400, 429)
        assert response.json()["error"]
    else:
        assert_refused(response)
    assert_good(site.infer(GOOD + BYTES, len(GOOD)))


@pytest.mark.parametrize("length", [1, 4, len(BYTES) - 4, len(BYTES) + 4, 2 * len(BYTES)])
def test_raw_body_that_is_neither_tensor_nor_picture(site: Site, length: int):
    """What isn't as long as the tensor is taken for a picture's file."""
    assert_refused(site.infer(b"\0" * length, 0), 415)
    assert_good(site.infer(BYTES, 0))


def test_repeated_outputs_are_given_or_refused(site: Site):
    response = site.infer(request(tensor(data=NUMBERS), outputs=[{"name": SCORES}] * 2))
    assert response.status_code in (200, 400)


def test_compressed_bodies_are_limited_as_they_unfold(site: Site):
    bomb = gzip.compress(b" " * (256 << 20), 1)
    assert len(bomb) < 2 << 20
    assert_refused(site.infer(bomb, Content_Encoding="gzip"), 413)
    assert_good(site.infer(gzip.compress(GOOD + BYTES), len(GOOD), Content_Encoding="gzip"))


def test_bodies_that_are_not_compressed_as_they_say(site: Site):
    assert_refused(site.infer(GOOD + BYTES, len(GOOD), Content_Encoding="gzip"))
    assert_refused(site.infer(gzip.compress(GOOD + BYTES)[:100], len(GOOD), Content_Encoding="gzip"))
    assert_refused(site.infer(GOOD + BYTES, len(GOOD), Content_Encoding="enigma"), 415)
    assert_good(site.infer(GOOD + BYTES, len(GOOD)))


def test_too_many_bytes(site: Site):
    assert_refused(site.infer(b"\0" * (33 << 20), 0), 413)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata(site: Site, path: str):
    answer = site.get(path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() >= {"name", "version", "extensions"}


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"/v2/models/{CLASSIFIER.name}/ready"])
def test_health_is_told_by_both_names(site: Site, path: str):
    """The protocol's text says `live` and `ready`, its OpenAPI document says otherwise, and clients read either."""
    answer = site.get(path)
    assert answer.status_code == 200
    assert (answer.json()["live"], answer.json()["ready"]) == (True, True)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}', b'{"ready": false}', b'{"repository_name": ""}'])
def test_repository_index(site: Site, body: bytes):
    index = site.post("/v2/repository/index", body).json()
    assert {entry["name"] for entry in index} >= {CLASSIFIER.name}
    for entry in index:
        assert entry.keys() >= {"name", "version", "state", "reason"}
        assert int(entry["version"]) >= 1


@pytest.mark.parametrize("body", [b"?", b"1", b'{"ready": "yes"}', b"{" * 10_000])
def test_repository_index_of_nonsense(site: Site, body: bytes):
    assert_refused(site.post("/v2/repository/index", body))


@pytest.mark.parametrize("body", [b"?", b"1", b'{"parameters": 1}', b'{"parameters": {"config": "{}"}}'])
def test_load_of_nonsense(site: Site, body: bytes):
    assert_refused(site.post(f"/v2/repository/models/{CLASSIFIER.name}/load", body))


def test_models_with_a_long_name(site: Site):
    for path in ("", "/infer"):
        response = site.ask("POST" if path else "GET", f"/v2/models/{'x' * 10_000}{path}")
        assert response.status_code in (400, 404, 414)
        assert len(response.content) < 2000


PATHS = [
    "/v2/nothing",
    "/v2/models",
    "/v2/models/",
    "/v2/models/nobody",
    "/v2/models/nobody/ready",
    "/v2/models/nobody/stats",
]


@pytest.mark.parametrize(
    "path",
    [*PATHS, "/v2/models/%ff", f"/v2/models/{CLASSIFIER.name}/nothing", f"/v2/models/{CLASSIFIER.name}/versions/7"],
)
def test_paths_with_nothing(site: Site, path: str):
    response = site.get(path)
    assert response.status_code in (400, 404), response.text
    assert response.json()["error"]


def test_methods_that_a_path_does_not_take(site: Site):
    response = site.get(INFER)
    assert_refused(response, 405)
    assert "POST" in response.headers["allow"]
    assert_refused(site.post("/v2"), 405)
    assert_refused(site.ask("DELETE", f"/v2/models/{CLASSIFIER.name}"), 405)


@pytest.mark.parametrize("name", ["header no number", "header beyond the body", "type unknown", "JSON cut off"])
def test_who_was_refused_can_go_on(server: Server, name: str):
    """A connection stays usable, or is said to be closed: a client doesn't send a POST twice to find out."""
    body, length = BAD[name]
    for _ in range(150):
        with requests.Session() as session:
            site = Site(server.url, session)
            assert_refused(site.infer(body, length))
            assert_good(site.infer(GOOD + BYTES, len(GOOD)))
