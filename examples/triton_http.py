"""The server by Triton's own client over HTTP. In one terminal `make run`, in another:

    pip install 'tritonclient[http]'
    python examples/triton_http.py                       # a picture of this checkout
    python examples/triton_http.py photo.jpg other.jpg

The pictures' files go as they are, as a tensor of bytes: the server decodes and prepares them as the network was
trained. Who prepares tensors instead sends them under the same name, as float32.
"""

import argparse
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

CHECKOUT = Path(__file__).resolve().parents[1]


def classify(client: triton.InferenceServerClient, model: str, pictures: list[Path], top_k: int) -> np.ndarray:
    """The best labels of each picture, a row a picture: bytes `value:index:label`."""
    files = np.array([picture.read_bytes() for picture in pictures], dtype=object)
    pixels = triton.InferInput("input", list(files.shape), "BYTES")
    pixels.set_data_from_numpy(files)
    scores = triton.InferRequestedOutput("logits", class_count=top_k)
    return client.infer(model, [pixels], outputs=[scores]).as_numpy("logits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000", help="host and port of the server (default: %(default)s)")
    parser.add_argument("--model", default="ce_resnet_caltech101", help="a classifier (default: %(default)s)")
    parser.add_argument("--top-k", type=int, default=3, help="labels of each picture (default: %(default)s)")
    parser.add_argument("pictures", type=Path, nargs="*", help="files in any format that the server reads")
    options = parser.parse_args()
    pictures = options.pictures or [CHECKOUT / "models/ce_resnet_caltech101/1/golden.png"]
    with triton.InferenceServerClient(options.url) as client:
        try:
            found = classify(client, options.model, pictures, options.top_k)
        except InferenceServerException as error:
            raise SystemExit(str(error)) from None
    for picture, best in zip(pictures, found, strict=True):
        print(f"{picture.name}: {', '.join(text.decode() for text in best)}")


if __name__ == "__main__":
    main()
