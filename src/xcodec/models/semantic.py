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

__all__ = ["SemanticAdapter", "SemanticFeatures", "build_semantic_encoder"]

FRAME_SHIFT = 160  # samples between filter-bank frames: 10 ms at 16 kHz
STACKED_FRAMES = 2  # filter-bank frames per code of 20 ms


class SemanticFeatures(nn.Module):
    """Normalised, stacked Kaldi filter-bank features: what Wav2Vec2-BERT reads.

    The waveform gets half a hop of zeros on both sides, so that every hop has its own two frames.

    Args:
        sampling_rate: in Hz.
        num_mel_bins: mel filters per frame.
        hop_length: samples per code.
    """

    def __init__(self, sampling_rate: int = 16000, num_mel_bins: int = 80, hop_length: int = 320) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.fbank = KaldiFbank(sampling_rate, num_mel_bins, frame_shift=FRAME_SHIFT)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Compute features.

        Args:
            waveform: shape (batch, samples), samples a multiple of the hop length, zeros past each clip's end.
            lengths: codes of each clip, at least 1, shape (batch,).

        Returns:
            float32, shape (batch, samples // hop_length, 2 * num_mel_bins), zeros past each clip's end.
        """
        margin = self.hop_length // 2
        log_mel = self.fbank(F.pad(waveform, (margin, margin)))
        return stack_frames(normalize_over_time(log_mel, STACKED_FRAMES * lengths), STACKED_FRAMES)


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
    """Four convolutions of 3 taps, the middle two inside a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = MaskedConv1d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.conv2 = MaskedConv1d(channels, channels, kernel_size=3, padding=1)
        self.conv3 = MaskedConv1d(channels, channels, kernel_size=3, padding=1)
        self.conv4 = MaskedConv1d(channels, channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor, time: Time = WHOLE) -> Tensor:
        """Transform `x` of shape (batch, channels, time)."""
        reach = sum(conv.kernel_size[0] // 2 for conv in (self.conv1, self.conv2, self.conv3, self.conv4))
        return time.map(self._adapted, x, reach=reach, dim=2, width=x.shape[1])

    def _adapted(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        # The residual is relu(conv1(x)), not conv1(x): upstream's first ReLU works in place, so the tensor that is
        # added later has been rectified too. Checkpoints depend on it.
        x = self.conv1(x, lengths).relu()
        x = x + self.conv3(self.conv2(x, lengths).relu(), lengths)
        return self.conv4(x, lengths)
