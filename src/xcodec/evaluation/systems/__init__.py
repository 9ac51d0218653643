"""What is evaluated: codecs of this package and of others, programs, and folders of reconstructions."""

from xcodec.evaluation.systems.folder import Folder
from xcodec.evaluation.systems.model import Model
from xcodec.evaluation.systems.system import Reconstruction, Reference, System

__all__ = ["Folder", "Model", "Reconstruction", "Reference", "System"]
