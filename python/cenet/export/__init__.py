"""Export of trained classifiers to model directories that cenet-serve loads."""

from cenet.export.errors import CheckError, ExportError
from cenet.export.model_directory import ExportReport, GoldenSource, export_model
from cenet.export.preprocess import Preprocess

__all__ = ["CheckError", "ExportError", "ExportReport", "GoldenSource", "Preprocess", "export_model"]
