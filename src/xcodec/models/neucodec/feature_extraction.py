"""The feature extractor of NeuCodec."""

from xcodec.models.xcodec2.feature_extraction import Xcodec2FeatureExtractor

__all__ = ["NeuCodecFeatureExtractor"]


class NeuCodecFeatureExtractor(Xcodec2FeatureExtractor):
    """Prepare clips for `NeuCodecModel`, with transformers' arguments and results.

    As X-Codec2's, but that the filter bank reads no zeros before and after a clip: the last hop has no frames of its
    own, and a clip of n samples gives n // hop_length codes. One below a hop gives none, which is an error.
    """

    feature_margin = 0
    uncoded_hops = 1
