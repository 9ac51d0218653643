"""xcodec: the X-Codec2 and X-Codec neural audio codecs, from an audio file to discrete codes and back.

Names are loaded when first used, so that `import xcodec` costs nothing but itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xcodec.audio import Audio
    from xcodec.codec import Codec
    from xcodec.codes import Codes
    from xcodec.errors import AudioError, CheckpointError, CodesError, InputError, MissingExtraError, XcodecError
    from xcodec.models import AutoFeatureExtractor, AutoModel, register_auto_classes
    from xcodec.models.causal_xcodec2 import CausalXcodec2Config, CausalXcodec2Model, CausalXcodec2PreTrainedModel
    from xcodec.models.distill_neucodec import (
        DistillNeuCodecConfig,
        DistillNeuCodecFeatureExtractor,
        DistillNeuCodecModel,
        DistillNeuCodecPreTrainedModel,
    )
    from xcodec.models.harmonic_xcodec import HarmonicXcodecConfig, HarmonicXcodecModel
    from xcodec.models.harmonic_xcodec2 import (
        HarmonicXcodec2Config,
        HarmonicXcodec2Model,
        HarmonicXcodec2PreTrainedModel,
    )
    from xcodec.models.higgs_audio_v2_tokenizer import (
        HiggsAudioV2TokenizerConfig,
        HiggsAudioV2TokenizerModel,
        HiggsAudioV2TokenizerPreTrainedModel,
    )
    from xcodec.models.neucodec import (
        NeuCodecConfig,
        NeuCodecFeatureExtractor,
        NeuCodecModel,
        NeuCodecPreTrainedModel,
    )
    from xcodec.models.xcodec import XcodecConfig, XcodecFeatureExtractor, XcodecModel, XcodecPreTrainedModel
    from xcodec.models.xcodec2 import Xcodec2Config, Xcodec2FeatureExtractor, Xcodec2Model, Xcodec2PreTrainedModel
    from xcodec.models.xcodec_vocos import XcodecVocosConfig, XcodecVocosModel

__version__ = "0.1.0"

__all__ = [
    "Audio",
    "AudioError",
    "AutoFeatureExtractor",
    "AutoModel",
    "CausalXcodec2Config",
    "CausalXcodec2Model",
    "CausalXcodec2PreTrainedModel",
    "CheckpointError",
    "Codec",
    "Codes",
    "CodesError",
    "DistillNeuCodecConfig",
    "DistillNeuCodecFeatureExtractor",
    "DistillNeuCodecModel",
    "DistillNeuCodecPreTrainedModel",
    "HarmonicXcodec2Config",
    "HarmonicXcodec2Model",
    "HarmonicXcodec2PreTrainedModel",
    "HarmonicXcodecConfig",
    "HarmonicXcodecModel",
    "HiggsAudioV2TokenizerConfig",
    "HiggsAudioV2TokenizerModel",
    "HiggsAudioV2TokenizerPreTrainedModel",
    "InputError",
    "MissingExtraError",
    "NeuCodecConfig",
    "NeuCodecFeatureExtractor",
    "NeuCodecModel",
    "NeuCodecPreTrainedModel",
    "Xcodec2Config",
    "Xcodec2FeatureExtractor",
    "Xcodec2Model",
    "Xcodec2PreTrainedModel",
    "XcodecConfig",
    "XcodecError",
    "XcodecFeatureExtractor",
    "XcodecModel",
    "XcodecPreTrainedModel",
    "XcodecVocosConfig",
    "XcodecVocosModel",
    "register_auto_classes",
]

_HOME = {
    "Audio": "xcodec.audio",
    "Codec": "xcodec.codec",
    "Codes": "xcodec.codes",
    "AudioError": "xcodec.errors",
    "CheckpointError": "xcodec.errors",
    "CodesError": "xcodec.errors",
    "InputError": "xcodec.errors",
    "MissingExtraError": "xcodec.errors",
    "XcodecError": "xcodec.errors",
    "CausalXcodec2Config": "xcodec.models.causal_xcodec2",
    "CausalXcodec2Model": "xcodec.models.causal_xcodec2",
    "CausalXcodec2PreTrainedModel": "xcodec.models.causal_xcodec2",
    "DistillNeuCodecConfig": "xcodec.models.distill_neucodec",
    "DistillNeuCodecFeatureExtractor": "xcodec.models.distill_neucodec",
    "DistillNeuCodecModel": "xcodec.models.distill_neucodec",
    "DistillNeuCodecPreTrainedModel": "xcodec.models.distill_neucodec",
    "HarmonicXcodec2Config": "xcodec.models.harmonic_xcodec2",
    "HarmonicXcodec2Model": "xcodec.models.harmonic_xcodec2",
    "HarmonicXcodec2PreTrainedModel": "xcodec.models.harmonic_xcodec2",
    "HarmonicXcodecConfig": "xcodec.models.harmonic_xcodec",
    "HarmonicXcodecModel": "xcodec.models.harmonic_xcodec",
    "HiggsAudioV2TokenizerConfig": "xcodec.models.higgs_audio_v2_tokenizer",
    "HiggsAudioV2TokenizerModel": "xcodec.models.higgs_audio_v2_tokenizer",
    "HiggsAudioV2TokenizerPreTrainedModel": "xcodec.models.higgs_audio_v2_tokenizer",
    "NeuCodecConfig": "xcodec.models.neucodec",
    "NeuCodecFeatureExtractor": "xcodec.models.neucodec",
    "NeuCodecModel": "xcodec.models.neucodec",
    "NeuCodecPreTrainedModel": "xcodec.models.neucodec",
    "Xcodec2Config": "xcodec.models.xcodec2",
    "Xcodec2FeatureExtractor": "xcodec.models.xcodec2",
    "Xcodec2Model": "xcodec.models.xcodec2",
    "Xcodec2PreTrainedModel": "xcodec.models.xcodec2",
    "XcodecConfig": "xcodec.models.xcodec",
    "XcodecFeatureExtractor": "xcodec.models.xcodec",
    "XcodecModel": "xcodec.models.xcodec",
    "XcodecPreTrainedModel": "xcodec.models.xcodec",
    "XcodecVocosConfig": "xcodec.models.xcodec_vocos",
    "XcodecVocosModel": "xcodec.models.xcodec_vocos",
    "AutoFeatureExtractor": "xcodec.models",
    "AutoModel": "xcodec.models",
    "register_auto_classes": "xcodec.models",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'xcodec' has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("torch", "transformers", "xcodec"):
            raise
        from xcodec.errors import MissingExtraError

        raise MissingExtraError(
            f"xcodec.{name} needs torch and transformers, which are not installed",
            remedy="pip install xcodec; without them xcodec.runtime.Codec runs codecs that `xcodec export` wrote",
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
