"""Export of trained networks to model directories that cenet-serve loads."""

from cenet.export.errors import CheckError, ExportError
from cenet.export.heads import BoxesHead, ClassifierHead, FcosHead
from cenet.export.model_directory import ExportReport, GoldenSource, export_model
from cenet.export.one_picture import one_picture
from cenet.export.preprocess import Preprocess
from cenet.export.quantized_directory import Calibration, QuantizeReport, quantize_directory

__all__ = [
    "BoxesHead",
    "Calibration",
    "CheckError",
    "ClassifierHead",
    "ExportError",
    "ExportReport",
    "FcosHead",
    "GoldenSource",
    "Preprocess",
    "QuantizeReport",
    "export_model",
    "one_picture",
    "quantize_directory",
]
