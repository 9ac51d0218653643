"""The codecs, composed from blocks, as transformers' classes."""

from xcodec.models.auto import load_model, register_auto_classes

__all__ = ["load_model", "register_auto_classes"]
