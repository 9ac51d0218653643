"""A decoder with a source of harmonics is trained to the pitch of recordings, from an X-Codec2 or from its codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from builders import speech, tiny_causal, tiny_harmonic, tiny_model, tiny_neucodec
from training_builders import UNCHANGED, Clips, tiny_recipe
from xcodec import (
    CausalXcodec2Model,
    Codec,
    HarmonicXcodec2Model,
    HarmonicXcodecModel,
    InputError,
    MissingExtraError,
)
from xcodec.modules.harmonic_head import HarmonicHead, PitchPredictor
from xcodec.modules.pulse_train import PulseTrain
from xcodec.modules.time import WHOLE
from xcodec.training.checkpoints import export
from xcodec.training.initialization import initialize, initialize_head
from xcodec.training.losses.pitch import PitchTracker, pitch_loss
from xcodec.training.recipe import Recipe
from xcodec.training.starting_point import build_model
from xcodec.training.trainer import Trainer
from xcodec_builders import TINY_ACOUSTIC, TINY_SEMANTIC, tiny_xcodec

pytest.importorskip("swift_f0", reason="pip install 'xcodec[pitch]'")
pytestmark = pytest.mark.gradients


def recipe_of(folder: Path, start: Path, *settings: str) -> Recipe:
    return tiny_recipe(
        folder,
        *("loss.head=0", "loss.phones=0", "loss.pitch=1", *settings),
        trains="harmonic_xcodec2",
        initialize_from=str(start),
        model={"filter_hidden_size": 16},
    )


def test_it_begins_from_an_xcodec2_and_learns_the_pitch(tmp_path: Path) -> None:
    start = tiny_model()
    start.save_pretrained(tmp_path / "start")
    recipe = recipe_of(tmp_path, tmp_path / "start", "optimizer.warmup_steps=5", "optimizer.learning_rate=4.0e-3")
    trainer = Trainer(recipe, Clips(list(speech(8.0).reshape(4, -1))), tmp_path / "run")
    assert {name for name in trainer.generator.drawn if not name.startswith("acoustic_decoder.head.")} == set()
    made = trainer.batches.following(trainer.step, trainer.position)
    batches = [next(made)[0] for _ in range(trainer.recipe.accumulate)]
    steps = [trainer.train_step(batches) for _ in range(25)]
    assert steps[-1]["pitch"] < 0.95 * steps[0]["pitch"]
    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    codec = Codec.from_pretrained(tmp_path / "exported")
    assert isinstance(codec.model, HarmonicXcodec2Model)
    assert codec.decode(codec.encode(speech(1.0), 16000)).num_samples == 16000


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


@pytest.mark.parametrize(
    ("trains", "fields", "renewed"),
    [
        ("xcodec2", {}, "acoustic_decoder.head."),
        ("causal_xcodec2-decoder", {"num_hidden_layers": 1, "num_attention_heads": 2}, "acoustic_decoder."),
    ],
)
def test_another_decoder_of_the_same_codes_begins_from_it(
    tmp_path: Path, trains: str, fields: dict[str, int], renewed: str
) -> None:
    start = tiny_harmonic()
    start.save_pretrained(tmp_path / "start")
    settings = ("loss.head=0", "loss.phones=0", "loss.spread=0", f"initialize_from={tmp_path / 'start'}")
    beginning = build_model(tiny_recipe(tmp_path, *settings, trains=trains, model=fields, augmentation=UNCHANGED))
    assert {name for name in beginning.model.state_dict() if name.startswith(renewed)} == beginning.drawn
    kept, given = beginning.model.state_dict(), start.state_dict()
    assert all(torch.equal(kept[name], given[name]) for name in kept.keys() - beginning.drawn)
    assert beginning.maker is not None, "its codes are those of the model it begins from"


def test_a_decoder_alone_and_a_codec_of_other_codes_are_no_beginning(tmp_path: Path) -> None:
    config = tiny_causal().config
    config.has_encoder = False
    CausalXcodec2Model(config).save_pretrained(tmp_path / "decoder")
    tiny_neucodec().save_pretrained(tmp_path / "neucodec")
    for name, said in (("decoder", "'causal_xcodec2' and has no encoder"), ("neucodec", "'neucodec'")):
        with pytest.raises(InputError, match=f"{name} is of model_type {said}; the recipe trains harmonic_xcodec2"):
            build_model(recipe_of(tmp_path, tmp_path / name))


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
