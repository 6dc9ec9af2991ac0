"""Reads the tensors of a checkpoint in PyTorch's older format, without PyTorch, and without running what it says."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        # what doesn't lie in the storage is an error of numpy's
        strides = tuple(stride * self.storage.dtype.itemsize for stride in self.strides)
        start = self.offset * self.storage.dtype.itemsize
        return np.ndarray(self.shape, self.storage.dtype, storages[self.storage.key], start, strides)


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"a checkpoint needs no {module}.{name}")

    def persistent_load(self, pid: tuple) -> _Storage:
        _, dtype, key, _, length, _ = pid
        return _Storage(key, dtype, length)


def read_checkpoint(file: Path) -> dict[str, np.ndarray]:
    """The tensors by their names, in the file's order.

    Raises:
        pickle.UnpicklingError: if there is more than tensors.
    """
    with file.open("rb") as stream:
        _magic, _protocol, _machine = (_Unpickler(stream).load() for _ in range(3))
        tensors: dict[str, _Tensor] = _Unpickler(stream).load()
        lengths = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        keys = _Unpickler(stream).load()
        storages = {key: _storage(stream, lengths[key]) for key in keys}
    return {name: tensor.read(storages) for name, tensor in tensors.items()}


def _storage(stream: BinaryIO, storage: _Storage) -> np.ndarray:
    length = int.from_bytes(stream.read(8), "little")
    if length != storage.length:
        raise pickle.UnpicklingError(f"a storage of {length} numbers should have {storage.length}")
    return np.frombuffer(stream.read(length * storage.dtype.itemsize), storage.dtype)
