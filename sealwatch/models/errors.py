"""What goes wrong with models, as one sentence each.

CommandFailed
  ModelError        a model or its manifest cannot be used
    ModelMissingError    it has not been fetched or built
  SourceRefusedError     downloaded weights are not the ones the manifest names
"""

from sealwatch.base.errors import CommandFailed


class ModelError(CommandFailed):
    """A model or its manifest can't be used; the message says which and what to do."""


class ModelMissingError(ModelError):
    """A model that has not been fetched or built on this machine."""


class SourceRefusedError(CommandFailed):
    """Downloaded weights that are not, to the byte, what the manifest names. Nothing of them is kept."""
