"""From a PyTorch module to an ONNX model in which every CE block is one node."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx
import torch
from google.protobuf.message import Message
from torch import Tensor, nn

from cenet import __version__
from cenet.export.errors import ExportError
from cenet.export.operator import DOMAIN, NAME, VERSION, fold_blocks, function_body

INPUT = "input"
FIRST_OPSET = 18
LAST_OPSET = 23
_SIZE_LIMIT_BYTES = 2**31 - 1


def to_onnx(
    module: nn.Module,
    example: Tensor,
    opset: int = FIRST_OPSET,
    outputs: Sequence[str] = ("logits",),
    open_batch: bool = True,
) -> onnx.ModelProto:
    """Exports `module`, which maps one tensor [N, ...] to one or more, with a batch size that stays open.

    Without `open_batch` N is 1, and the outputs' first size is how much was found.
    `example` is an input; all its sizes but the first are fixed. `outputs` names what the module returns. The model
    carries the CE operator's body as a model-local function, so that it runs where no kernel for the operator is
    registered. Weights are in the model.

    Raises:
        UntrainedBlockError: names every CE block without running statistics.
        ExportError: if the module can't be exported, or not with an open batch size, or is larger than 2 GB.
    """
    if not FIRST_OPSET <= opset <= LAST_OPSET:
        raise ExportError(f"opset {opset} is not supported; {FIRST_OPSET} to {LAST_OPSET} are")
    model = _trace(fold_blocks(module), example, opset, outputs, open_batch)
    _strip_metadata(model)
    _name_nodes(model.graph)
    _add_operator(model, opset)
    model.producer_name, model.producer_version = "cenet", __version__
    if model.ByteSize() > _SIZE_LIMIT_BYTES:
        raise ExportError(f"the model takes {model.ByteSize()} bytes; an ONNX file holds 2 GB at most")
    onnx.checker.check_model(model)
    return model


def block_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The CE nodes of the graph, in order."""
    return [node for node in model.graph.node if node.domain == DOMAIN and node.op_type == NAME]


def _trace(folded: nn.Module, example: Tensor, opset: int, outputs: Sequence[str], open_batch: bool) -> onnx.ModelProto:
    # Two samples: a batch size of 1 would be taken for a constant.
    example = example[:1].expand(2 if open_batch else 1, *example.shape[1:]).contiguous()
    try:
        with _quiet():
            program = torch.onnx.export(
                folded,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=opset,
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},) if open_batch else None,
            )
    except Exception as error:
        raise ExportError(f"PyTorch can't export this module: {error}") from error
    model = program.model_proto
    if len(model.graph.output) != len(outputs):
        raise ExportError(f"the module must return {len(outputs)} tensors, it returns {len(model.graph.output)}")
    if open_batch:
        _check_batch(model.graph)
    else:
        _name_counts(model.graph)
    return model


def _check_batch(graph: onnx.GraphProto) -> None:
    for value in (graph.input[0], *graph.output):
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(f"the module works for a fixed batch size only: its {value.name} can't have another")


def _name_counts(graph: onnx.GraphProto) -> None:
    """Gives the outputs' first size a name of words: the exporter's are formulas."""
    for value in graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "detections"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's notes about itself off the terminal; errors still come as exceptions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip_metadata(message: Message) -> None:
    """Clears, all the way down, what the exporter notes for debugging: stack traces and names of source files."""
    for descriptor, value in message.ListFields():
        if descriptor.name in ("metadata_props", "doc_string"):
            message.ClearField(descriptor.name)
        elif descriptor.message_type:
            for child in value if isinstance(value, Sequence) else (value,):
                _strip_metadata(child)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Names CE nodes by the module they come from, which is the prefix of their weights' names."""
    used: set[str] = set()
    for node in graph.node:
        if node.domain != DOMAIN:
            continue
        name = node.input[1].rpartition(".")[0] or NAME
        node.name = name if name not in used else f"{name}_{len(used)}"
        used.add(node.name)


def _add_operator(model: onnx.ModelProto, opset: int) -> None:
    """Puts the operator's body and domain into the model, if its graph has the operator at all."""
    imports = {entry.domain: entry for entry in model.opset_import}
    if not block_nodes(model):
        if DOMAIN in imports:
            model.opset_import.remove(imports[DOMAIN])
        return
    if DOMAIN not in imports:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    model.functions.append(function_body(opset))
