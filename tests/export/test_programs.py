"""Programs of torch.export do what the codec does: any number of clips, of any length, without its code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from builders import codec_to_export, speech
from xcodec import CheckpointError, Codec
from xcodec.export import export_codec, manifest_of
from xcodec.export.comparison import decoded_together, encoded_together
from xcodec.export.torch_file import ProgramCodec
from xcodec.runtime import Codec as RuntimeCodec

pytestmark = pytest.mark.slow

CLIPS = [speech(samples=length) for length in (16000, 5000, 319)]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return codec_to_export()


@pytest.fixture(scope="module")
def folder(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs") / "exported"
    agreement = export_codec(codec, folder, format="torch").agreement
    assert agreement.ties == 0
    return folder


@pytest.fixture(scope="module")
def programs(codec: Codec, folder: Path) -> ProgramCodec:
    return ProgramCodec(folder, manifest_of(codec, "float32", None))


def test_codes_of_every_length_are_those_of_the_codec_alone_and_in_a_batch(
    codec: Codec, programs: ProgramCodec
) -> None:
    together = encoded_together(programs.encoder, CLIPS)
    for clip, alone, row in zip(CLIPS, programs.encode_samples(CLIPS, None), together, strict=True):
        [expected] = codec.encode_samples([clip], None)
        assert np.array_equal(alone, expected)
        assert np.array_equal(row, expected)


def test_audio_is_that_of_the_codec_alone_and_in_a_batch(codec: Codec, programs: ProgramCodec) -> None:
    ids = codec.encode_samples(CLIPS, None)
    together = decoded_together(programs.decoder, ids)
    for clip, alone, row in zip(ids, programs.decode_ids(ids), together, strict=True):
        [expected] = codec.decode_ids([clip])
        assert np.abs(alone - expected).max() < 1e-4
        assert np.abs(row - expected).max() < 1e-4


RUN = """
import sys
import torch
encode = torch.export.load(sys.argv[1]).module()
codes, lengths = encode(torch.zeros(1, 4000), torch.tensor([4000]))
assert codes.shape == (1, 1, 13) and lengths.tolist() == [13]
assert not any(name.split(".")[0] in ("xcodec", "transformers") for name in sys.modules)
"""


def test_a_program_needs_torch_alone(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", RUN, folder / "encoder.pt2"], check=True)


def test_a_program_is_traced_again_for_one_length(folder: Path) -> None:
    for name, inputs in (
        ("encoder.pt2", (torch.tensor(CLIPS[1])[None], torch.tensor([CLIPS[1].size]))),
        ("decoder.pt2", (torch.arange(7)[None, None], torch.tensor([7]))),
    ):
        program = torch.export.load(folder / name).module()
        again = torch.export.export(program, inputs).module()
        for found, expected in zip(again(*inputs), program(*inputs), strict=True):
            assert torch.equal(found, expected)


def test_the_folder_holds_nothing_of_who_exported_it(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["codec.json", "decoder.pt2", "encoder.pt2"]
    program = torch.export.load(folder / "encoder.pt2")
    assert not any("stack_trace" in node.meta for node in program.graph.nodes)


def test_the_runtime_says_what_they_are(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="holds programs of torch"):
        RuntimeCodec(folder)


def test_mini_takes_any_number_of_clips_of_any_length(tmp_path: Path) -> None:
    codec = Codec.from_pretrained("mini", device="cpu", pack=False)
    agreement = export_codec(codec, tmp_path / "mini", format="torch").agreement
    assert agreement.ties <= 0.005 * agreement.codes
    programs = ProgramCodec(tmp_path / "mini", manifest_of(codec, "float32", None))
    clips = [speech(samples=length) for length in (24001, 8000, 1, 320, 321)]
    expected = [codec.encode_samples([clip], None)[0] for clip in clips]
    audio = codec.decode_ids(expected)
    found = [
        *programs.encode_samples(clips, None),
        *encoded_together(programs.encoder, clips),
        *encoded_together(programs.encoder, clips[1:2]),
    ]
    for ids, right in zip(found, [*expected, *expected, expected[1]], strict=True):
        assert ids.shape == right.shape
        assert (ids != right).sum() <= 1  # where two are nearly equally near, rounding decides
    decoded = [*programs.decode_ids(expected), *decoded_together(programs.decoder, expected)]
    for samples, right in zip(decoded, [*audio, *audio], strict=True):
        assert np.abs(samples - right).max() < 1e-4
