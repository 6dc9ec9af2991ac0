"""Measuring a running server over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from detection_pictures import draw_voc

from cenet.cli import evaluate
from cenet.detection.annotations import Annotations, read_part
from cenet.detection.decode import DecodeOptions
from cenet.detection.remote import detect_over_http
from cenet.errors import DataError
from cenet.tools import compare_server

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "ce_fcos_bccd" / "1"


class Answering(ThreadingHTTPServer):
    """Answers every request alike, and remembers what was asked."""

    def __init__(self, status: int, answer: dict) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer, self.requests = status, answer, []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    servers = []

    def start(status: int, answer: dict) -> Answering:
        servers.append(Answering(status, answer))
        threading.Thread(target=servers[-1].serve_forever).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("voc")
    draw_voc(root, {"test": 2})
    return root


def test_pictures_are_sent_as_they_are_and_boxes_come_back(answering, folder):
    annotations = read_part(folder, "test")
    entry = {"label": "square", "index": 7, "score": 0.5, "box": [1, 2, 3, 4.5]}
    server = answering(200, {"detections": [entry]})
    options = DecodeOptions(threshold=0.25, iou=0.6, max_detections=7)
    found = detect_over_http(f"{server.url}/", annotations, options, "cells")
    assert len(found) == 2
    torch.testing.assert_close(found[1].boxes, torch.tensor([[1, 2, 3, 4.5]]))
    assert (found[1].scores.tolist(), found[1].labels.tolist()) == ([0.5], [annotations.labels.index("square")])
    for (path, body), picture in zip(server.requests, annotations.pictures, strict=True):
        assert urlsplit(path).path == "/detect" and body == picture.path.read_bytes()
        assert parse_qs(urlsplit(path).query) == {
            "threshold": ["0.25"],
            "iou": ["0.6"],
            "max_detections": ["7"],
            "model": ["cells"],
        }


def test_finding_nothing_is_an_answer(answering, folder):
    (found, _) = detect_over_http(answering(200, {"detections": []}).url, read_part(folder, "test"), DecodeOptions())
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (422, {"detail": "is no picture"}, "answers 422.*is no picture"),
        (200, {"predictions": []}, "gives no answer.*detections"),
        (200, {"detections": [{"label": "cat", "score": 1, "box": [0, 0, 1, 1]}]}, "finds cat.*disc, square"),
    ],
)
def test_what_is_no_answer_is_told(answering, folder, status, answer, message):
    with pytest.raises(DataError, match=message):
        detect_over_http(answering(status, answer).url, read_part(folder, "test"), DecodeOptions())


def test_the_command_line_measures_a_server(answering, folder, tmp_path, capsys):
    picture = read_part(folder, "test").pictures[0]
    found = [{"label": "disc", "score": 0.9, "box": list(picture.objects[0].box)}]
    arguments = ["detect", "--data", str(folder), "--json", str(tmp_path / "numbers.json")]
    server = answering(200, {"detections": found})
    assert evaluate.main([*arguments, "--server", server.url]) == 0
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["by_label"]["square"] == [0, 0] and numbers["by_label"]["disc"][0] > 0.4
    assert evaluate.main([*arguments, "--server", "http://127.0.0.1:1"]) == 1
    assert "gives no answer" in capsys.readouterr().err


def test_a_server_that_does_not_start_is_told(server_binary, tmp_path):
    with pytest.raises(DataError, match="ended before it listened"), compare_server.serving(server_binary, tmp_path):
        pytest.fail("there is no model")


def test_the_server_measures_what_pytorch_measures(server_binary, data_root):
    if not (data_root / "bccd").is_dir():
        pytest.skip(f"no {data_root / 'bccd'}: set CENET_TEST_DATA to run this test")
    whole = read_part(data_root / "bccd", "test")
    comparison = compare_server.compare(server_binary, SHIPPED, Annotations(whole.labels, whole.pictures[:8]))
    assert comparison.pytorch.map50 > 0.8
    assert comparison.difference <= 0.002
