"""The codecs, composed from blocks, as transformers' classes."""

from xcodec.models.auto import AutoFeatureExtractor, AutoModel, load_model, register_auto_classes

__all__ = ["AutoFeatureExtractor", "AutoModel", "load_model", "register_auto_classes"]
