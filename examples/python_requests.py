"""The server from Python with `requests` alone. In one terminal `make run`, in another:

    pip install requests
    python examples/python_requests.py                       # a picture of this checkout
    python examples/python_requests.py photo.jpg other.png

`classify` asks the server's own way, `infer` by the Open Inference Protocol, whose JSON is followed by binary data.
"""

import argparse
import json
import struct
from pathlib import Path

import requests

CHECKOUT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 30


def classify(url: str, model: str, pictures: list[Path], top_k: int) -> list[list[tuple[str, float]]]:
    """The best labels of each picture with their scores, the pictures sent as the files of a form."""
    files = [("image", (picture.name, picture.read_bytes())) for picture in pictures]
    answer = requests.post(f"{url}/classify", params={"model": model, "top_k": top_k}, files=files, timeout=TIMEOUT_S)
    if not answer.ok:
        raise SystemExit(f"{answer.status_code}: {answer.json()['detail']}")
    # one picture is answered by its result, several by a list, where each may have failed for itself
    results = answer.json().get("results", [answer.json()])
    return [[(best["label"], best["score"]) for best in result.get("predictions", [])] for result in results]


def infer(url: str, model: str, pictures: list[Path], top_k: int) -> list[list[str]]:
    """The best labels of each picture as `value:index:label`, the pictures sent as one tensor of bytes."""
    files = [picture.read_bytes() for picture in pictures]
    # each element carries its length, 4 bytes, little-endian
    data = b"".join(struct.pack("<I", len(file)) + file for file in files)
    head = {
        "inputs": [
            {
                "name": "input",
                "shape": [len(files)],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(data)},
            }
        ],
        "outputs": [{"name": "logits", "parameters": {"classification": top_k}}],
    }
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    answer = requests.post(f"{url}/v2/models/{model}/infer", data=text + data, headers=headers, timeout=TIMEOUT_S)
    if not answer.ok:
        raise SystemExit(f"{answer.status_code}: {answer.json()['error']}")
    [output] = answer.json()["outputs"]
    rows, columns = output["shape"]
    return [output["data"][row * columns : (row + 1) * columns] for row in range(rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the server is (default: %(default)s)")
    parser.add_argument("--model", default="ce_resnet_caltech101", help="a classifier (default: %(default)s)")
    parser.add_argument("--top-k", type=int, default=3, help="labels of each picture (default: %(default)s)")
    parser.add_argument("pictures", type=Path, nargs="*", help="files in any format that the server reads")
    options = parser.parse_args()
    pictures = options.pictures or [CHECKOUT / "models/ce_resnet_caltech101/1/golden.png"]
    for ask in (classify, infer):
        print(f"{ask.__name__}:")
        for picture, best in zip(pictures, ask(options.url, options.model, pictures, options.top_k), strict=True):
            print(f"  {picture.name}: {best}")


if __name__ == "__main__":
    main()
