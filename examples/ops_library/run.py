"""Runs a CE network in Python's ONNX Runtime by the native kernel.

make ops-library && python examples/ops_library/run.py models/ce_resnet_caltech101/1
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

model = Path(sys.argv[1])
options = ort.SessionOptions()
options.register_custom_ops_library("target/release/libce_op.so")
session = ort.InferenceSession(model / "model.onnx", options, providers=["CPUExecutionProvider"])
outputs = [output.name for output in session.get_outputs()]
with np.load(model / "golden.npz") as golden:
    for name, got in zip(outputs, session.run(outputs, {"input": golden["input"]}), strict=True):
        print(f"{name}: at most {np.abs(got - golden[name]).max():.1e} from PyTorch's")
