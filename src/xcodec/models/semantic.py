"""The semantic branch: filter-bank features, their encoder, and the adapter that follows it."""

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2BertConfig
from transformers.activations import ACT2FN

from xcodec.errors import InputError
from xcodec.modules.conv import MaskedConv1d
from xcodec.modules.fbank import KaldiFbank, normalize_over_time, stack_frames
from xcodec.modules.time import WHOLE, Time
from xcodec.modules.wav2vec2_bert import Wav2Vec2Bert

__all__ = ["FRAME_SHIFT", "SemanticAdapter", "SemanticFeatures", "build_semantic_encoder"]

FRAME_SHIFT = 160  # samples between filter-bank frames: 10 ms at 16 kHz


class SemanticFeatures(nn.Module):
    """Normalised, stacked Kaldi filter-bank features: what Wav2Vec2-BERT reads.

    With a frame shift of zeros on both sides of the waveform every hop has frames of its own: two of 320 samples.

    Args:
        sampling_rate: in Hz.
        num_features: numbers a code: those of all its frames.
        hop_length: samples per code.
        margin: zeros on both sides of the waveform. Without any, the last hop has no frames.
    """

    def __init__(
        self, sampling_rate: int = 16000, num_features: int = 160, hop_length: int = 320, margin: int = FRAME_SHIFT
    ) -> None:
        super().__init__()
        self.margin = margin
        self.num_features = num_features
        self.hop_length = hop_length
        self.num_stacked = max(1, hop_length // FRAME_SHIFT)
        self.fbank = KaldiFbank(sampling_rate, num_features // self.num_stacked, frame_shift=FRAME_SHIFT)

    def check(self) -> None:
        """Refuse sizes that the filter bank's frames do not keep step with.

        Raises:
            InputError: where no whole number of frames fits a code, or of mel filters a frame.
        """
        if self.hop_length % FRAME_SHIFT or self.num_features % self.num_stacked or not self.num_features:
            raise InputError(
                f"{self.num_features} features for every {self.hop_length} samples: filter-bank frames, every "
                f"{FRAME_SHIFT} samples, do not keep step with these; expected a multiple of {FRAME_SHIFT} samples a "
                "code, and as many features for each frame in it. A model of other sizes reads `input_features` that "
                "were computed elsewhere"
            )

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Compute features.

        Args:
            waveform: shape (batch, samples), samples a multiple of the hop length, zeros past each clip's end.
            lengths: codes of each clip, at least 1, shape (batch,).

        Returns:
            float32, shape (batch, codes, num_features), zeros past each clip's end. There are as many codes as hops,
            less the last where there is no margin.

        Raises:
            InputError: as `check` does.
        """
        self.check()
        log_mel = self.fbank(F.pad(waveform, (self.margin, self.margin)))
        return stack_frames(normalize_over_time(log_mel, self.num_stacked * lengths), self.num_stacked)


def build_semantic_encoder(config: Wav2Vec2BertConfig) -> Wav2Vec2Bert:
    """Build the encoder that `config` describes; only relative-key positions and no adapter are known here."""
    if config.position_embeddings_type != "relative_key" or config.add_adapter:
        raise InputError(
            f"the semantic encoder has position_embeddings_type={config.position_embeddings_type!r} and "
            f"add_adapter={config.add_adapter}; X-Codec2 uses 'relative_key' and False, and only these are supported"
        )
    return Wav2Vec2Bert(
        input_size=config.feature_projection_input_dim,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_layers=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        conv_kernel_size=config.conv_depthwise_kernel_size,
        left_max_position=config.left_max_position_embeddings,
        right_max_position=config.right_max_position_embeddings,
        activation=ACT2FN[config.hidden_act],
        layer_norm_eps=config.layer_norm_eps,
        mask_embedding=config.mask_time_prob > 0 or config.mask_feature_prob > 0,
        feature_dropout=config.feat_proj_dropout,
        hidden_dropout=config.hidden_dropout,
        activation_dropout=config.activation_dropout,
        attention_dropout=config.attention_dropout,
        conv_dropout=config.conformer_conv_dropout,
    )


class SemanticAdapter(nn.Module):
    """Four convolutions of 3 taps, the middle two inside a residual.

    Args:
        channels: of input and output.
        hidden_channels: of what is between the convolutions; None means as many.
    """

    def __init__(self, channels: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        hidden = channels if hidden_channels is None else hidden_channels
        self.conv1 = MaskedConv1d(channels, hidden, kernel_size=3, padding=1, bias=False)
        self.conv2 = MaskedConv1d(hidden, hidden, kernel_size=3, padding=1)
        self.conv3 = MaskedConv1d(hidden, hidden, kernel_size=3, padding=1)
        self.conv4 = MaskedConv1d(hidden, channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, channels, time)."""
        reach = sum(conv.kernel_size[0] // 2 for conv in (self.conv1, self.conv2, self.conv3, self.conv4))
        return time.map(
            self._adapted, x, reach=reach, dim=2, width=max(self.conv1.in_channels, self.conv1.out_channels)
        )

    def _adapted(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        # The residual is relu(conv1(x)), not conv1(x): upstream's first ReLU works in place, so the tensor that is
        # added later has been rectified too. Checkpoints depend on it.
        x = self.conv1(x, lengths).relu()
        x = x + self.conv3(self.conv2(x, lengths).relu(), lengths)
        return self.conv4(x, lengths)
