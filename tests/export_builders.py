"""What the tests of exports of every family share."""

from pathlib import Path

import numpy as np

from builders import speech
from xcodec import Codec
from xcodec.export import export_codec
from xcodec.models.auto import feature_extractor_of
from xcodec.models.codec_model import CodecModel
from xcodec.runtime import Codec as RuntimeCodec


def check_export(model: CodecModel, folder: Path, *halves: str) -> None:
    """Export halves of a model ("encoder", "decoder", "stream"): they do what it does at every bandwidth."""
    codec = Codec(model, feature_extractor_of(model))
    has = {half: half in halves for half in ("encoder", "decoder", "stream")}
    export = export_codec(codec, folder, encoder=has["encoder"], decoder=has["decoder"], stream=has["stream"])
    agreement = export.agreement
    assert agreement.ties <= 0.005 * agreement.codes
    runtime = RuntimeCodec(folder, threads=1)
    for bandwidth in codec.bandwidths:
        codes = codec.encode(speech(1.0), 16000, bandwidth=bandwidth)
        if has["encoder"]:
            exported = runtime.encode(speech(1.0), 16000, bandwidth=bandwidth)
            assert exported.codebook_sizes == codes.codebook_sizes
            assert np.mean(exported.ids != codes.ids) <= 0.005  # where two are nearly equally near, rounding decides
        if has["decoder"]:
            assert np.abs(runtime.decode(codes).samples - codec.decode(codes).samples).max() < 1e-4
