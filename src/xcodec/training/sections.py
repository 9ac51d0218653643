"""The sections of a recipe: names, types, defaults and what each means. Unknown keys are errors."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AdversarialRecipe",
    "AugmentationRecipe",
    "DataRecipe",
    "LossRecipe",
    "MultiFrequencyRecipe",
    "MultiPeriodRecipe",
    "OptimizerRecipe",
    "SpectralRecipe",
    "SynthesisRecipe",
    "ValidationRecipe",
]

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(gt=0)]
Interval = tuple[float, float]


class Section(BaseModel):
    """What all sections have in common: no key that is not known, and no change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SynthesisRecipe(Section):
    """Which speech is made, and how much."""

    seed: int = 0
    hours: dict[str, Positive] = Field(default_factory=lambda: {"espeak": 1.0})
    """Hours of speech by synthesizer: espeak, flite, festival."""
    optional: list[str] = []
    """Synthesizers that are left out, with a notice, where they are not installed."""
    recordings: str | None = None
    """A folder of recordings of people to add, used where it exists."""


class DataRecipe(Section):
    """What is trained on, and how it is cut."""

    batch_seconds: Positive = 16.0
    """Audio in the batch of one process; the number of clips follows from the crop's length."""
    crop_seconds: Interval = (1.0, 3.0)
    """Crops are as long as a number drawn from here, one for each batch."""
    shares: dict[str, Positive] = {}
    """How many crops of a stretch of audio an epoch has, by source: 1 where not said. A source is what the prepared
    speech says, or the name of the folder or file."""
    audio: str | None = None
    """Folder of the recordings whose codes are stored: their ids are paths in it."""
    workers: Count = 1
    """Threads that make batches beforehand."""


class AugmentationRecipe(Section):
    """What is done to a crop before it is both input and target."""

    level_db: Interval | None = (-25.0, 0.0)
    """Peak level, in dB relative to full scale; null leaves it as it is."""
    speed: Interval = (0.88, 1.12)
    """Factor of the resampling that changes pitch and pace together."""
    tilt_probability: Probability = 0.7
    reverberation_probability: Probability = 0.2
    noise_probability: Probability = 0.4
    noise_snr_db: Interval = (15.0, 40.0)

    @property
    def changes_nothing(self) -> bool:
        """Whether crops stay as they are, so that stored codes are still theirs."""
        probabilities = (self.tilt_probability, self.reverberation_probability, self.noise_probability)
        return self.level_db is None and self.speed == (1.0, 1.0) and not any(probabilities)


class LossRecipe(Section):
    """Weights of the terms of the generator's loss; what has weight 0 is not computed."""

    windows: list[int] = [64, 128, 256, 512, 1024, 2048]
    """STFT windows of the mel loss, in samples; each hops by a quarter of itself."""
    mels: list[int] = [5, 10, 20, 40, 80, 160]
    """Mel bands, one number for each window."""
    mel: Weight = 1.0
    """L1 of the natural logarithms of mel spectra, averaged over the windows."""
    magnitude: Weight = 0.0
    """L1 of mel spectra in linear scale relative to the target's mean, averaged over the windows."""
    stft: Weight = 0.0
    """Spectral convergence and log magnitudes at three resolutions, as X-Codec v1 has it."""
    sub_band: Weight = 0.0
    """The same for each of six bands."""
    compressed: Weight = 0.0
    """Mean square distance of spectra whose magnitudes are compressed, with their phases and without."""
    disturbance: Weight = 0.0
    """What is more or less loud than in the target, in points that PESQ would take off its score."""
    intelligibility: Weight = 0.0
    """What the correlation of envelopes lacks, as STOI measures it."""
    level: Weight = 0.0
    """L1 of levels in frames of 20 ms, in units of 10 dB."""
    head: Weight = 0.0
    """X-Codec2 and Vocos: L1 between the log magnitudes that the decoder's head asks for and the target's: it reaches
    the codes at once, before the phases are good enough for the waveform to tell."""
    pitch: Weight = 0.0
    """A harmonic decoder: cross entropy of the fundamental frequency that it predicts."""
    spread: Weight = 0.0
    """X-Codec2: how strongly the quantizer's inputs are held at zero mean, unit variance and no correlation."""
    semantic: Weight = 0.0
    """Mean square error of the frozen semantic model's states, decoded from the quantized latents; with a teacher, what
    the cosine similarity to its states lacks of 1, told from the semantic branch and from the first codebook."""
    semantic_teacher: str | None = None
    """X-Codec: a folder or hub id of a frozen model, as of `perceptual_model`, that a semantic model learns from which
    is trained along; it makes a state for each code, as Whisper, HuBERT and WavLM do at 50 codes a second. Without one
    the semantic model is frozen."""
    commitment: Weight = 0.0
    """X-Codec: mean square distance of latents from their code vectors."""
    spectrum: Weight = 0.0
    """X-Codec: L1 of log mel spectra, four of 40 bands for each code, that the first 160 numbers of the quantized
    latents are to be: it reaches the codes at once, and has them spent on what is heard."""
    phones: Weight = 0.0
    """X-Codec2: cross entropy of the phones that are spoken, predicted from the semantic branch and from the codes,
    where the speech is labelled."""
    perceptual: Weight = 0.0
    """L1 of a frozen model's hidden states."""
    perceptual_model: str | None = None
    """That model: a folder or hub id that transformers reads, as facebook/wav2vec2-large-xlsr-53 or
    openai/whisper-tiny."""
    perceptual_layers: list[int] | None = None
    """Which of its hidden states; null takes all."""


class MultiPeriodRecipe(Section):
    """Arguments of `MultiPeriodDiscriminator`."""

    periods: list[int] = [2, 3, 5, 7, 11]
    channels: Count = 16
    growth: Count = 4
    max_channels: Count = 512


class SpectralRecipe(Section):
    """Arguments of `SpectralDiscriminator`."""

    fft_sizes: list[int] = [78, 126, 206, 334, 542, 876, 1418, 2296]
    """X-Codec-2.0's, each about 1.62 times the one before."""
    channels: Count = 32
    max_channels: Count = 512


class MultiFrequencyRecipe(Section):
    """Arguments of `MultiFrequencyDiscriminator`."""

    hop_lengths: list[int] = [32, 64, 128, 256, 512, 1024]
    channels: list[int] = [64, 128, 256, 512, 512, 512]


class OptimizerRecipe(Section):
    """AdamW, warm-up, cosine."""

    learning_rate: Positive = 5e-4
    final_learning_rate: Weight = 2e-5
    warmup_steps: Annotated[int, Field(ge=0)] = 300
    betas: tuple[float, float] = (0.8, 0.9)
    weight_decay: float = 0.01
    clip: Positive = 1.0
    """Largest norm of the whole gradient."""


class AdversarialRecipe(Section):
    """The discriminators, and what the generator hears of them."""

    multi_period: MultiPeriodRecipe | None = None
    spectral: SpectralRecipe | None = None
    multi_frequency: MultiFrequencyRecipe | None = None
    weight: Weight = 1.0
    """Of the adversarial loss."""
    feature_matching: Weight = 1.0
    """Of the feature matching loss."""
    first_step: Annotated[int, Field(ge=0)] = 0
    """Where the discriminators begin to learn."""
    lead_steps: Annotated[int, Field(ge=0)] = 0
    """For how many steps they learn before the generator hears them."""
    seconds: Positive | None = None
    """How much of a batch they judge, the same stretch of all its clips, drawn anew each time; null means all."""
    optimizer: OptimizerRecipe | None = None
    """Of the discriminators; null means the generator's."""


class ValidationRecipe(Section):
    """When the model is measured, and what is kept."""

    every_minutes: Positive = 5.0
    checkpoint_minutes: Positive = 5.0
    log_steps: Count = 50
    keep: Count = 2
    """How many of the last checkpoints stay."""
    best: Literal["mel", "stoi", "pesq"] = "mel"
    """The score whose best model is kept as well: mel is the mel distance and needs nothing; stoi and pesq (wide-band)
    need xcodec[eval]."""
