"""Triton's two clients behind one set of names, where they differ only in how they spell the same thing."""

from types import ModuleType
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tritonclient.utils import np_to_triton_dtype

from golden import INPUT
from serving import Server

# Of the errors' classes, what each face says.
STATUS = {
    "invalid": {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"},
    "not found": {"http": "404", "grpc": "StatusCode.NOT_FOUND"},
    "no picture": {"http": "415", "grpc": "StatusCode.INVALID_ARGUMENT"},
    "broken picture": {"http": "422", "grpc": "StatusCode.INVALID_ARGUMENT"},
    "not allowed": {"http": "403", "grpc": "StatusCode.PERMISSION_DENIED"},
    "too late": {"http": "504", "grpc": "StatusCode.DEADLINE_EXCEEDED"},
}


class Face:
    """A client of one kind, connected."""

    def __init__(self, name: str, server: Server, **options: Any) -> None:
        self.name = name
        self.module: ModuleType = {"http": tritonclient.http, "grpc": tritonclient.grpc}[name]
        self.client = self.module.InferenceServerClient(getattr(server, name), **options)

    def input(self, data: np.ndarray, name: str = INPUT) -> Any:
        """`data` as the input `name`, binary."""
        tensor = self.module.InferInput(name, list(data.shape), np_to_triton_dtype(data.dtype))
        tensor.set_data_from_numpy(data)
        return tensor

    def output(self, name: str, **options: Any) -> Any:
        return self.module.InferRequestedOutput(name, **options)

    def infer(self, model: str, data: np.ndarray, **options: Any) -> Any:
        return self.client.infer(model, [self.input(data)], **options)

    def status(self, kind: str) -> str:
        return STATUS[kind][self.name]


def pictures(*files: bytes) -> np.ndarray:
    """Pictures' files as a BYTES tensor of the shape [N]."""
    tensor = np.empty(len(files), dtype=object)
    tensor[:] = files
    return tensor


def plain(answer: Any) -> Any:
    """An answer of either client as Python's own types, names as in the protocol."""
    if not isinstance(answer, Message):
        return answer
    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
