"""A causal decoder is trained for the codes that a model has stored, becomes one checkpoint with it, and streams."""

from pathlib import Path

import numpy as np
import pytest
import torch

from builders import RECORDINGS, speech, tiny_model
from training_builders import UNCHANGED, Clips, tiny_recipe
from xcodec import Audio, CausalXcodec2Model, Codec, InputError, Xcodec2FeatureExtractor
from xcodec.streaming import StreamDecoder
from xcodec.training.checkpoints import export
from xcodec.training.recipe import Recipe
from xcodec.training.starting_point import build_model
from xcodec.training.trainer import Trainer

pytestmark = pytest.mark.gradients

FIELDS = {"decoder_hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def recipe_of(folder: Path, start: Path, *settings: str) -> Recipe:
    return tiny_recipe(
        folder,
        *("loss.head=0", "loss.spread=0", "loss.phones=0", *settings),
        trains="causal_xcodec2-decoder",
        initialize_from=str(start),
        model=FIELDS | {"sliding_window": 8},
        augmentation=UNCHANGED,
    )


def test_it_learns_from_stored_codes_and_streams_what_it_decodes(tmp_path: Path) -> None:
    start = tiny_model()
    start.save_pretrained(tmp_path / "start")
    codec = Codec(start, Xcodec2FeatureExtractor(), name="start")
    recordings = [Audio(speech(4.0)[i : i + 32_000], 16_000) for i in (0, 32_000)]
    codes = [each.ids[0].astype(np.int64) for each in codec.encode(recordings)]
    stored = Clips([each.samples[0] for each in recordings], 16_000, codes)
    trainer = Trainer(recipe_of(tmp_path, tmp_path / "start"), stored, tmp_path / "run")
    made = trainer.batches.following(trainer.step, trainer.position)
    batches = [next(made)[0] for _ in range(trainer.recipe.accumulate)]
    steps = [trainer.train_step(batches) for _ in range(12)]
    assert steps[-1]["mel"] + steps[-1]["magnitude"] < 0.9 * (steps[0]["mel"] + steps[0]["magnitude"])
    for name, tensor in start.state_dict().items():
        if not name.startswith("acoustic_decoder."):
            assert torch.equal(tensor, trainer.generator.model.state_dict()[name]), name

    export(trainer.averaged_model(), tmp_path / "exported", torch.float32)
    other = Codec.from_pretrained(tmp_path / "exported")
    assert isinstance(other.model, CausalXcodec2Model)
    encoded = codec.encode(RECORDINGS[1])
    assert other.encode(RECORDINGS[1]) == encoded, "and says that they are the codes of the model it started from"
    assert other.decode(encoded).num_samples == encoded.num_samples
    ids = np.asarray(encoded.ids)
    decoder = StreamDecoder(other)
    pieces = [decoder.push(code) for code in ids[0]]
    assert [piece is None for piece in pieces] == [True] * 4 + [False] * (len(pieces) - 4)
    streamed = [piece.samples[0] for piece in (*pieces, decoder.flush()) if piece is not None]
    assert np.allclose(np.concatenate(streamed), other.decode_ids([ids])[0], atol=1e-5)


SIZES = "decoder_hidden_size: 320, intermediate_size: 1280, num_hidden_layers: 7, num_attention_heads: 5"
SMALL = f"model={{{SIZES}, sliding_window: 100}}"


def test_the_recipe_trains_a_decoder_and_nothing_else() -> None:
    recipe = Recipe.read("xcodec2-causal", ("initialize_from=mini", SMALL))
    start = build_model(recipe)
    model, drawn = start.model, start.drawn
    assert all(name.startswith("acoustic_decoder.") for name in drawn)
    assert set(dict(model.named_parameters())) - drawn == {"quantizer.project_out.weight", "quantizer.project_out.bias"}
    decoder = model.get_submodule("acoustic_decoder")
    assert sum(parameter.numel() for parameter in decoder.parameters()) < 10e6
    window = model.config.sliding_window
    assert window is not None
    assert recipe.data.crop_seconds[0] * model.frame_rate >= window, "no stream shows it what no crop did"
    with torch.inference_mode():
        audio = model.decode_clips(torch.arange(50)[None, None])
    assert 0.01 < audio.std() < 0.1, "it begins at the level of speech"


def test_a_causal_decoder_may_begin_from_another_one(tmp_path: Path) -> None:
    start = build_model(Recipe.read("xcodec2-causal", ("initialize_from=mini", SMALL))).model
    export(start, tmp_path / "start", torch.float32)
    again = build_model(Recipe.read("xcodec2-causal", (f"initialize_from={tmp_path / 'start'}", SMALL)))
    assert not again.drawn
    state = start.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.model.state_dict().items())


def test_losses_it_cannot_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"loss.head: only the head of X-Codec2 and of Vocos asks for a spectrum"):
        recipe_of(tmp_path, tmp_path / "start", "loss.head=1")
    with pytest.raises(InputError, match="augmentation: stored codes are of recordings as they are"):
        recipe_of(tmp_path, tmp_path / "start", "augmentation.noise_probability=0.5")
