"""What can go wrong in an export, besides an unusable checkpoint (`cenet.checkpoint.CheckpointError`)."""


class ExportError(ValueError):
    """A module, picture or option that can't be exported."""


class CheckError(ExportError):
    """An exported model whose outputs differ from PyTorch's."""
