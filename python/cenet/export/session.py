"""ONNX Runtime sessions, on the CPU and without our kernel."""

from pathlib import Path

import onnx
import onnxruntime


def open_session(model: Path | onnx.ModelProto, *, as_written: bool = False) -> onnxruntime.InferenceSession:
    """A session with `quiet_options`; `as_written` computes 8-bit layers in floats, as the graph's pairs say."""
    options = quiet_options()
    if as_written:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    given = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])


def quiet_options() -> onnxruntime.SessionOptions:
    """Options that tell errors alone and, as the server's, add products of 8 bits without saturating."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options
