"""Decoders with a source of harmonics are trained to the pitch of recordings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import WhisperConfig, WhisperModel

from builders import speech, tiny_causal, tiny_harmonic, tiny_model, tiny_neucodec
from training_builders import TINY, UNCHANGED, Clips, tiny_recipe
from xcodec import (
    CausalXcodec2Model,
    CheckpointError,
    Codec,
    HarmonicXcodec2Model,
    HarmonicXcodecModel,
    InputError,
    MissingExtraError,
)
from xcodec.models.codec_model import CodecModel
from xcodec.modules.harmonic_head import HarmonicHead, PitchPredictor
from xcodec.modules.pulse_train import PulseTrain
from xcodec.modules.time import WHOLE
from xcodec.training.checkpoints import export
from xcodec.training.generators import build_generator
from xcodec.training.initialization import initialize, initialize_head
from xcodec.training.losses.pitch import PitchTracker, pitch_loss
from xcodec.training.recipe import Recipe
from xcodec.training.starting_point import build_model
from xcodec.training.taps import later
from xcodec.training.trainer import Trainer
from xcodec_builders import TINY_ACOUSTIC, TINY_SEMANTIC, tiny_harmonic_xcodec, tiny_xcodec

pytest.importorskip("swift_f0", reason="pip install 'xcodec[pitch]'")
pytestmark = pytest.mark.gradients


DECODER = {"decoder_hidden_size": 16, "decoder_intermediate_size": 24, "decoder_num_layers": 1}
ENCODER = {"encoder_intermediate_size": 24, "encoder_num_layers": 1, "encoder_mel_bins": 20}
SIZES = {name: x for name, x in yaml.safe_load(TINY)["model"].items() if name in ("quantization_dim", "hidden_size")}
SEMANTIC = {"semantic_model_config": yaml.safe_load(TINY)["model"]["semantic_model_config"]}


def recipe_of(folder: Path, *settings: str, **sections: Any) -> Recipe:
    fields = (
        SIZES
        | SEMANTIC
        | ENCODER
        | DECODER
        | {"encoder_hidden_size": 16, "filter_hidden_size": 16, "downsampling_ratios": [320]}
    )
    return tiny_recipe(
        folder,
        *("loss.head=0", "loss.phones=0", "loss.pitch=1", *settings),
        **({"trains": "harmonic_xcodec2", "model": fields} | sections),
    )


def test_an_xcodec2_learns_its_pitch_from_nothing(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "optimizer.warmup_steps=5", "optimizer.learning_rate=4.0e-3")
    trainer = Trainer(recipe, Clips(list(speech(8.0).reshape(4, -1))), tmp_path / "run")
    made = trainer.batches.following(trainer.step, trainer.position)
    batches = [next(made)[0] for _ in range(trainer.recipe.accumulate)]
    steps = [trainer.train_step(batches) for _ in range(25)]
    assert steps[-1]["pitch"] < 0.95 * steps[0]["pitch"]
    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    codec = Codec.from_pretrained(tmp_path / "exported")
    assert isinstance(codec.model, HarmonicXcodec2Model)
    assert codec.decode(codec.encode(speech(1.0), 16000)).num_samples == 16000


def test_its_batches_have_the_pitch_of_their_targets(tmp_path: Path) -> None:
    trainer = Trainer(recipe_of(tmp_path), Clips([speech(8.0)]), tmp_path / "run")
    batch, _ = next(trainer.batches.following(0, trainer.position))
    assert batch.pitch is not None
    pitch, voicing = batch.pitch
    assert pitch.shape == voicing.shape == (len(batch.target), batch.target.shape[1] // 320)
    assert voicing.mean() > 0.3
    for found, expected in zip(batch.pitch, PitchTracker(16_000, 320)(batch.target), strict=True):
        assert torch.equal(found, expected)


def test_its_parts_begin_as_those_of_another_model_where_they_fit(tmp_path: Path) -> None:
    acoustic = TINY_ACOUSTIC | {"encoder_hidden_size": 16, "hidden_size": 48}
    other = tiny_harmonic_xcodec(acoustic_model_config=acoustic, **(DECODER | ENCODER | {"num_pitch_bins": 64}))
    other.save_pretrained(tmp_path / "other")
    parts = dict.fromkeys(("acoustic_encoder", "acoustic_decoder"), str(tmp_path / "other"))
    start = build_model(recipe_of(tmp_path, parts_from=parts))
    kept, given = start.model.state_dict(), other.state_dict()
    taken = kept.keys() - start.drawn
    assert all(torch.equal(kept[name], given[name]) for name in taken)
    drawn = {name.rpartition(".")[0] for name in start.drawn if name.startswith(tuple(parts))}
    assert drawn == {"acoustic_decoder.embed", "acoustic_encoder.linear", "acoustic_encoder.direct"}, "of other widths"
    with pytest.raises(CheckpointError, match=r"nothing of .*other fits into 'semantic_encoder' of a harmonic_xcodec2"):
        build_model(recipe_of(tmp_path, parts_from={"semantic_encoder": str(tmp_path / "other")}))


def test_a_decoder_that_is_to_look_less_far_ahead_begins_with_the_taps_that_saw_each_step(tmp_path: Path) -> None:
    """Where all steps are alike, filters and pitch are those of the other one."""
    other = tiny_harmonic()
    other.save_pretrained(tmp_path / "other")
    settings = ("loss.head=0", "loss.phones=0", "loss.pitch=1", f"initialize_from={tmp_path / 'other'}")
    recipe = tiny_recipe(tmp_path, *settings, trains="harmonic_xcodec2", model={"decoder_lookahead": 4})
    start = build_model(recipe)
    assert start.model.lookahead == 4
    assert not start.drawn
    latents = torch.randn(1, 1, other.config.quantization_dim).expand(-1, 60, -1)
    with torch.inference_mode():
        asked = []
        for model in (start.model, other):
            decoder = model.get_submodule("acoustic_decoder")
            states, _ = decoder.hidden(latents)
            asked.append((states[:, 30], decoder.head.filters(states)[:, 120], decoder.head.pitch(states)[:, 30]))
    for ours, expected in zip(*asked, strict=True):
        assert torch.allclose(ours, expected, atol=1e-5 * float(expected.abs().max()))


def test_taps_that_see_nothing_any_more_are_added_to_the_nearest() -> None:
    weight = torch.tensor([[1.0, 2, 3, 4, 5, 6, 7]])
    assert later(weight, 3).tolist() == [[0, 0, 0, 1, 2, 3, 22]]
    assert later(weight, -2).tolist() == [[6, 4, 5, 6, 7, 0, 0]]


def test_an_x_codec_learns_its_pitch_its_semantic_model_by_a_teacher(tmp_path: Path) -> None:
    width = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_source_positions": 50}
    heads = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens = {"vocab_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    WhisperModel(WhisperConfig(**width, **heads, **tokens)).save_pretrained(tmp_path / "whisper")
    acoustic = TINY_ACOUSTIC | {"hidden_size": 160}  # in which there is room for a spectrum
    sizes = {"acoustic_model_config": acoustic, "semantic_model_config": TINY_SEMANTIC, "codebook_size": 16}
    decoder = {"decoder_hidden_size": 32, "decoder_intermediate_size": 48, "decoder_num_layers": 1}
    loss = {"mel": 1.0, "pitch": 1.0, "commitment": 0.25, "compressed": 0.1, "semantic": 1.0, "spectrum": 1.0}
    recipe = tiny_recipe(
        tmp_path,
        trains="harmonic_xcodec",
        model=sizes | decoder | {"filter_hidden_size": 16, "target_bandwidths": [0.2, 0.4]},
        loss=loss | {"semantic_teacher": str(tmp_path / "whisper"), "windows": [128, 512], "mels": [10, 40]},
        highest_bandwidth=0.5,
        adversarial=None,
    )
    trainer = Trainer(recipe, Clips(list(speech(8.0).reshape(4, -1))), tmp_path / "run")
    batches = [next(trainer.batches.following(0, trainer.position))[0]]
    hubert = {name: x.clone() for name, x in trainer.generator.model.semantic_model.named_parameters()}
    steps = [trainer.train_step(batches) for _ in range(25)]
    for name in ("pitch", "semantic", "mel", "spectrum"):
        assert steps[-1][name] < 0.97 * steps[0][name], name
    learned = dict(trainer.generator.model.semantic_model.named_parameters())
    assert all(not torch.equal(hubert[name], learned[name]) for name in hubert if name != "masked_spec_embed")
    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    codec = Codec.from_pretrained(tmp_path / "exported")
    assert isinstance(codec.model, HarmonicXcodecModel)
    codes = codec.encode(speech(1.0), 16000, bandwidth=0.2)
    assert codes.ids.shape == (1, 50)
    assert codec.decode(codes).num_samples == 16000


def test_a_causal_decoder_of_its_codes_stands_alone(tmp_path: Path) -> None:
    start = tiny_harmonic()
    start.save_pretrained(tmp_path / "start")
    fields = {"decoder_hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = ("loss.head=0", "loss.phones=0", "loss.spread=0", f"initialize_from={tmp_path / 'start'}")
    recipe = tiny_recipe(tmp_path, *settings, trains="causal_xcodec2-decoder", model=fields, augmentation=UNCHANGED)
    generator = build_generator(recipe)
    model = generator.model
    assert not model.has_encoder
    assert {name for name in model.state_dict() if name.startswith("acoustic_decoder.")} == generator.drawn
    export(model, tmp_path / "decoder", torch.float32)
    maker, decoder = Codec.from_pretrained(tmp_path / "start"), Codec.from_pretrained(tmp_path / "decoder")
    codes = maker.encode(speech(1.0), 16000)
    assert decoder.decode(codes).num_samples == 16000, "they are known as codes of the model that it began from"
    latents = [each.model.quantizer.decode(torch.tensor(codes.ids)) for each in (maker, decoder)]
    assert torch.equal(*latents)


@pytest.mark.parametrize(
    ("start", "trains", "said"),
    [
        (tiny_harmonic, "xcodec2", "'harmonic_xcodec2'; the recipe trains xcodec2"),
        (tiny_model, "harmonic_xcodec2", "'xcodec2'; the recipe trains harmonic_xcodec2"),
        (tiny_neucodec, "harmonic_xcodec2", "'neucodec'; the recipe trains harmonic_xcodec2"),
        (tiny_xcodec, "causal_xcodec2-decoder", "'xcodec'; the recipe trains causal_xcodec2-decoder"),
    ],
)
def test_a_codec_of_other_codes_is_no_beginning(
    tmp_path: Path, start: Callable[[], CodecModel], trains: str, said: str
) -> None:
    start().save_pretrained(tmp_path / "start")
    settings = ("loss.head=0", "loss.phones=0", "loss.spread=0", f"initialize_from={tmp_path / 'start'}")
    with pytest.raises(InputError, match=f"start is of model_type {said}"):
        build_model(tiny_recipe(tmp_path, *settings, trains=trains, model={}, augmentation=UNCHANGED))


def test_a_decoder_alone_is_no_beginning(tmp_path: Path) -> None:
    config = tiny_causal().config
    config.has_encoder = False
    CausalXcodec2Model(config).save_pretrained(tmp_path / "decoder")
    settings = ("loss.head=0", "loss.phones=0", f"initialize_from={tmp_path / 'decoder'}")
    with pytest.raises(InputError, match="decoder is of model_type 'causal_xcodec2' and has no encoder; the recipe"):
        build_model(tiny_recipe(tmp_path, *settings, model={}))


def test_the_head_begins_at_the_level_of_the_recordings() -> None:
    torch.manual_seed(0)
    target = 0.1 * torch.randn(2, 32_000)
    head = HarmonicHead(8, 320, 4, 16, 16_000, 16, 55.0, 480.0)
    with torch.no_grad():
        initialize(head)
        initialize_head(head, target)
        samples = head(torch.zeros(1, 100, 8))
    assert samples.std() == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("frequency", [90.0, 210.0])
def test_the_tracker_finds_the_frequency_of_pulses_where_there_are_any(frequency: float) -> None:
    train = PulseTrain(16_000, 320, 55.0, 480.0)
    pitch = train.scale_steps(torch.full((1, 100), frequency))
    pulses = 0.1 * train.pulses(pitch, WHOLE.sum_before(train.turns(pitch)))
    audio = torch.cat([pulses, 0.01 * torch.randn(1, 32_000)], 1)
    found, voicing = PitchTracker(16_000, 320)(audio)
    assert found.shape == voicing.shape == (1, 200)
    assert (found[0, 5:95] / frequency).log2().abs().max() < 0.02
    assert voicing[0, 5:95].mean() > 0.9
    assert voicing[0, 105:].mean() < 0.1


def test_a_clip_without_a_voice_has_no_weight() -> None:
    found, voicing = PitchTracker(16_000, 320)(torch.zeros(1, 6400))
    assert torch.equal(found, torch.full((1, 20), 120.0))
    assert not voicing.any()


def test_the_pitch_loss_is_least_where_the_pitch_is() -> None:
    predictor = PitchPredictor(8, 64, 55.0, 480.0)
    pitch = torch.full((1, 1), float(predictor.centres(torch.device("cpu"))[30].exp()))
    losses = []
    for peak in range(20, 41):
        logits = torch.zeros(1, 1, 64)
        logits[..., peak] = 5.0
        losses.append(float(pitch_loss(predictor, logits, pitch, torch.ones(1, 1))))
    assert int(np.argmin(losses)) == 10
    assert pitch_loss(predictor, logits, pitch, torch.zeros(1, 1)) == 0


def test_a_codec_of_another_rate_and_an_absent_tracker_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="tracked at 16000 Hz; this codec writes 24000 Hz"):
        PitchTracker(24_000, 480)
    monkeypatch.setitem(__import__("sys").modules, "swift_f0", None)
    with pytest.raises(MissingExtraError, match=r"xcodec\[pitch\]"):
        PitchTracker(16_000, 320)


def test_a_semantic_loss_has_something_to_hear_and_a_teacher_somebody(tmp_path: Path) -> None:
    for trains, settings, said in [
        ("harmonic_xcodec", ("loss.semantic=1",), "loss.semantic: harmonic_xcodec has nothing that decodes semantic"),
        ("xcodec", ("loss.semantic_teacher=x",), "loss.semantic_teacher: it teaches an X-Codec where loss.semantic is"),
        ("xcodec2", ("loss.semantic=1", "loss.semantic_teacher=x"), "trains=xcodec2, loss.semantic=1"),
    ]:
        with pytest.raises(InputError, match=said):
            tiny_recipe(tmp_path, *settings, trains=trains, model={}, loss={"mel": 1.0})


def test_another_decoder_of_an_x_codec_begins_with_its_encoder_and_codebooks(tmp_path: Path) -> None:
    start = tiny_xcodec()
    start.save_pretrained(tmp_path / "start")
    decoder = {"decoder_hidden_size": 32, "decoder_intermediate_size": 48, "decoder_num_layers": 1}
    settings = {"initialize_from": str(tmp_path / "start"), "loss": {"mel": 1}}
    beginning = build_model(tiny_recipe(tmp_path, trains="xcodec_vocos", model=decoder, **settings))
    kept, given = beginning.model.state_dict(), start.state_dict()
    assert {name for name in kept if name.startswith("acoustic_decoder.")} == beginning.drawn
    assert all(torch.equal(kept[name], given[name]) for name in kept.keys() - beginning.drawn)
    with pytest.raises(InputError, match="is of model_type 'xcodec'; the recipe trains harmonic_xcodec"):
        build_model(tiny_recipe(tmp_path, trains="harmonic_xcodec", model=decoder, **settings))


def test_a_pitch_is_asked_of_a_harmonic_decoder_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss.pitch: only a harmonic decoder predicts a pitch"):
        tiny_recipe(tmp_path, "loss.pitch=1")
