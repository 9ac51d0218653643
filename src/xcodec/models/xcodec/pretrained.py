"""The base of X-Codec's models: what it is called, and how its weights are drawn."""

import torch
from torch import nn
from transformers import initialization as init

from xcodec.models.codec_model import CodecModel
from xcodec.models.xcodec.configuration import XcodecConfig
from xcodec.modules.wavlm import GatedRelativeAttention
from xcodec.quantizers.rvq import Codebook

__all__ = ["XcodecPreTrainedModel"]


class XcodecPreTrainedModel(CodecModel):
    """The base of X-Codec's models, under the name that transformers gives it."""

    config_class: type[XcodecConfig] = XcodecConfig
    config: XcodecConfig
    base_model_prefix = "xcodec"
    main_input_name = "input_values"
    input_modalities = ["audio"]  # noqa: RUF012
    _no_split_modules = ["ConvLayer", "EncoderLayer", "EncoderBlock", "DecoderBlock", "Codebook"]  # noqa: RUF012
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GatedRelativeAttention):
            init.ones_(module.gru_rel_pos_const)
        elif isinstance(module, Codebook):
            init.ones_(module.inited)
            init.zeros_(module.cluster_size)
            # Not zeros, as upstream has them until a checkpoint is read: then all codes of a new model would be 0.
            init.normal_(module.embed, std=self.config.initializer_range)
            init.copy_(module.embed_avg, module.embed)
