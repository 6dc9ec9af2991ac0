"""What every peer does with a picture: a tensor, ONNX Runtime on one thread, and the best labels."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from pictures import Preprocessing

_TOP_K = 5


class Classifier:
    """A model directory's network in a session of its own."""

    def __init__(self, directory: Path) -> None:
        """Of a version's directory, with a model.toml as docs/model-directory.md describes it."""
        manifest = tomllib.loads((directory / "model.toml").read_text())
        self.labels = (directory / manifest["labels"]).read_text().splitlines()
        self.preprocessing = Preprocessing(manifest["preprocess"])
        self.input, self.output = manifest["preprocess"]["input"], manifest["head"]["output"]
        if manifest["head"]["activation"] != "softmax":
            raise ValueError("peers know no activation but softmax")
        self.session = _session(directory / manifest["model"])

    def classify(self, files: Sequence[bytes | bytearray]) -> list[dict[str, Any]]:
        """An answer a file, by one run of the network."""
        return self.answers([self.preprocessing.tensor(file) for file in files])

    def answers(self, tensors: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """An answer a tensor, by one run of the network."""
        batch = tensors[0][None] if len(tensors) == 1 else np.stack(tensors)
        (logits,) = self.session.run([self.output], {self.input: batch})
        return [self._answer(each) for each in logits]

    def _answer(self, logits: np.ndarray) -> dict[str, Any]:
        best = np.argpartition(logits, -_TOP_K)[-_TOP_K:]
        best = best[np.argsort(-logits[best])]
        scores = np.exp(logits - logits[best[0]])
        scores = scores[best] / scores.sum()
        found = zip(best.tolist(), scores.tolist(), strict=True)
        return {
            "predictions": [{"label": self.labels[index], "index": index, "score": score} for index, score in found]
        }


def _session(model: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
