"""Detection by a running cenet-serve, picture by picture over HTTP."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import torch
from tqdm import tqdm

from cenet.detection.annotations import Annotations
from cenet.detection.decode import DecodeOptions, Detections
from cenet.errors import DataError

_TIMEOUT_S = 60


def detect_over_http(
    server: str, annotations: Annotations, options: DecodeOptions, model: str | None = None
) -> list[Detections]:
    """The objects that the server at the URL `server` finds, boxes in pixels of the original pictures.

    The files are sent as they are. Labels are those of `annotations`, whatever the server's order is; `model` names one
    of the server's detectors. How many candidates enter the suppression is the server's own matter.

    Raises:
        DataError: if the server can't be reached, refuses a picture, or finds what the annotations have no label for.
    """
    question = {"threshold": options.threshold, "iou": options.iou, "max_detections": options.max_detections}
    if model:
        question["model"] = model
    url = f"{server.rstrip('/')}/detect?{urllib.parse.urlencode(question)}"
    index = {name: label for label, name in enumerate(annotations.labels)}
    progress = tqdm(annotations.pictures, desc="detect over HTTP", mininterval=5)
    return [_parse(_ask(url, picture.path.read_bytes()), index) for picture in progress]


def _ask(url: str, picture: bytes) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, picture, {"Content-Type": "application/octet-stream"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return json.load(response)["detections"]
    except urllib.error.HTTPError as error:
        raise DataError(f"{url} answers {error.code}: {error.read().decode(errors='replace').strip()}") from error
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{url} gives no answer: {error}") from error


def _parse(found: list[dict[str, Any]], index: dict[str, int]) -> Detections:
    if unknown := {entry["label"] for entry in found} - set(index):
        raise DataError(f"the server finds {', '.join(sorted(unknown))}, the data has labels {', '.join(index)}")
    return Detections(
        torch.tensor([entry["box"] for entry in found], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([entry["score"] for entry in found], dtype=torch.float32),
        torch.tensor([index[entry["label"]] for entry in found], dtype=torch.int64),
    )
