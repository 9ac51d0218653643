"""The base of X-Codec2's models: what it is called, and how its weights are drawn."""

import torch
from torch import nn
from transformers import initialization as init

from xcodec.models.codec_model import CodecModel
from xcodec.models.xcodec2.configuration import Xcodec2Config
from xcodec.modules.snake import SnakeBeta

__all__ = ["Xcodec2PreTrainedModel"]


class Xcodec2PreTrainedModel(CodecModel):
    """The base of X-Codec2's models, under the name that transformers gives it."""

    config_class: type[Xcodec2Config] = Xcodec2Config
    config: Xcodec2Config
    base_model_prefix = "xcodec2"
    main_input_name = "input_values"
    input_modalities = ["audio"]  # noqa: RUF012
    _no_split_modules = ["ConformerLayer", "EncoderBlock", "TransformerLayer"]  # noqa: RUF012
    _supports_sdpa = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SnakeBeta):
            init.zeros_(module.alpha)
            init.zeros_(module.beta)
