"""`xcodec evaluate`, as people run it: recordings, a tiny model, folders of reconstructions, and all three reports."""

import base64
import importlib.util
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import builders
from evaluation_builders import Deadly, save_predictor
from xcodec.audio import Audio
from xcodec.cli.app import app
from xcodec.codec import Codec
from xcodec.device import Precision
from xcodec.errors import InputError
from xcodec.evaluation import opinion, selection
from xcodec.evaluation.clips import Clip, clips_of, spread
from xcodec.evaluation.distortion import MelDistance
from xcodec.evaluation.evaluation import evaluate
from xcodec.evaluation.level import gain
from xcodec.evaluation.measuring import MeasuringError
from xcodec.evaluation.pictures import codes_picture, png, ramp, spectrogram_picture
from xcodec.evaluation.setting import Setting
from xcodec.evaluation.systems import Folder, Model
from xcodec.evaluation.transcripts import Transcripts
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec_builders import tiny_xcodec

pytest.importorskip("pystoi", reason="needs pip install 'xcodec[eval]'")
Image = pytest.importorskip("PIL.Image", reason="needs pip install 'xcodec[eval]'")


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Result(result.exit_code, result.stdout, " ".join(result.stderr.split()))


@pytest.fixture
def dnsmos() -> None:
    """DNSMOS is measured, where it is installed."""


@pytest.fixture(autouse=True)
def dnsmos_only_where_asked_for(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNSMOS and ViSQOL take most of the time, so that most tests are without, as if they were not installed."""
    monkeypatch.setitem(sys.modules, "visqol.api", None)
    if "dnsmos" not in request.fixturenames:
        monkeypatch.setattr(opinion, "find_spec", lambda name: None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two recordings of speech, one of them below in a folder and with a transcript beside it."""
    folder = tmp_path / "recordings"
    (folder / "x").mkdir(parents=True)
    Audio(builders.speech(1.0), 16_000).resample(44_100).save(folder / "a.flac")
    shutil.copy(builders.RECORDINGS[1], folder / "x" / "b.wav")
    (folder / "x" / "transcripts.tsv").write_text("b.wav\the was not an ill disposed young man\n")
    return folder


@pytest.fixture
def again(recordings: Path, tmp_path: Path) -> Path:
    """Reconstructions: quieter, named as `xcodec reconstruct` names them, one a little shorter."""
    folder = tmp_path / "again"
    (folder / "x").mkdir(parents=True)
    for name, target in (("a.flac", "a.flac.wav"), ("x/b.wav", "x/b.ogg")):
        audio = Audio.read(recordings / name)
        Audio(0.5 * audio.samples[:, :-50], audio.sampling_rate).save(folder / target)
    return folder


def scores(report: dict, system: str, clip: str) -> dict:
    (found,) = [each for each in report["systems"] if each["name"] == system]
    return next(row["scores"] for row in found["clips"] if row["name"] == clip)


def test_a_model_and_a_folder_are_measured_on_the_same_clips(
    recordings: Path, again: Path, model: Path, tmp_path: Path, dnsmos: None
) -> None:
    result = run(recordings, "-m", model, "-r", again, "--asr", "none", "--json", tmp_path / "report.json")
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "report.json").read_text())
    names = [system["name"] for system in report["systems"] if system["name"] != "recordings"]
    assert names == [str(model), str(again)]
    for system in report["systems"]:
        assert [row["name"] for row in system["clips"]] == ["a.flac", "x/b.wav"]
    assert scores(report, str(again), "x/b.wav")["stoi"] > 0.99
    assert scores(report, str(model), "x/b.wav")["stoi"] < 0.9
    for key in ("stoi", "mel_distance"):
        for system in report["systems"][-2:]:
            values = [row["scores"][key] for row in system["clips"]]
            assert system["means"][key]["value"] == pytest.approx(sum(values) / 2)
            assert system["means"][key]["low"] <= system["means"][key]["value"] <= system["means"][key]["high"]
    assert {"xcodec", "torch", "pystoi", "numpy"} <= report["versions"].keys()
    assert "bootstrap" in report["intervals"]
    assert "STOI" in result.out
    assert "WER: leave --asr none out" in result.out


def test_a_model_s_scores_are_those_of_its_reconstructions(recordings: Path, model: Path, tmp_path: Path) -> None:
    codec = Codec.from_pretrained(model)
    (tmp_path / "again/x").mkdir(parents=True)
    for name in ("a.flac", "x/b.wav"):
        codec.reconstruct(recordings / name).save(tmp_path / "again" / f"{name}.wav", subtype="FLOAT")
    arguments = ("-m", model, "-r", tmp_path / "again", "--asr", "none", "--json", tmp_path / "report.json")
    assert run(recordings, *arguments).code == 0
    report = json.loads((tmp_path / "report.json").read_text())
    made, read = report["systems"][-2:]
    for one, other in zip(made["clips"], read["clips"], strict=True):
        assert one["scores"] == pytest.approx(other["scores"])
    assert read["bitrate"] is None
    frames = 16_000 // 320 + 1 + 47_840 // 320 + 1
    assert made["bitrate"] == pytest.approx(16 * frames / (1 + 2.99))
    (codebook,) = made["codebooks"]
    assert (codebook["codes"], codebook["size"]) == (frames, 65_536)
    assert [len(shares) for shares in codebook["levels"]] == [4] * 8
    assert 0 < codebook["entropy"] <= codebook["corrected_entropy"] <= 16


def test_a_residual_stream_is_measured_at_the_bandwidth_asked_for(recordings: Path, tmp_path: Path) -> None:
    tiny_xcodec().save_pretrained(tmp_path / "xcodec")
    XcodecFeatureExtractor().save_pretrained(tmp_path / "xcodec")
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    arguments = ("-m", tmp_path / "xcodec", "-b", 1.5, "--asr", "none", "--json", report, "--html", page)
    result = run(recordings, *arguments)
    assert result.code == 0, result.err
    system = json.loads(report.read_text())["systems"][-1]
    assert system["name"].endswith("xcodec at 1.5 kbit/s")
    assert [(use["size"], use["codes"], use["levels"]) for use in system["codebooks"]] == [(1024, 50 + 150, [])] * 3
    assert system["bitrate"] == pytest.approx(1500, rel=0.01)
    assert "codebook 3" in page.read_text()


def test_settings_of_one_model_are_systems_of_their_own(recordings: Path, tmp_path: Path) -> None:
    tiny_xcodec().save_pretrained(tmp_path / "xcodec")
    XcodecFeatureExtractor().save_pretrained(tmp_path / "xcodec")
    names = [f"{tmp_path}/xcodec{suffix}" for suffix in ("@0.5", "@1", "", ":bfloat16", "@1:bfloat16")]
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    models = [argument for name in names for argument in ("-m", name)]
    result = run(recordings, *models, "--asr", "none", "--json", report, "--html", page)
    assert result.code == 0, result.err
    systems = [system for system in json.loads(report.read_text())["systems"] if system["name"] != "recordings"]
    assert [system["name"] for system in systems] == names
    assert [len(system["codebooks"]) for system in systems] == [1, 2, 8, 8, 2]
    assert [system["about"].split(" in ")[1].split(")")[0] for system in systems] == [
        "float32", "float32", "float32", "bfloat16", "bfloat16"
    ]  # fmt: skip
    assert all(name in result.out and name in page.read_text() for name in names)
    twice = run(recordings, "-m", names[0], "-m", names[0], "--asr", "none")
    assert twice.code == 1
    assert "give each once, or with settings that differ, as mini:int8 and MODEL@2" in twice.err


def test_a_setting_is_read_off_the_name_unless_a_folder_is_called_so(tmp_path: Path) -> None:
    assert Setting.parse("mini") == Setting("mini", "mini")
    assert Setting.parse("hf-audio/x@2") == Setting("hf-audio/x@2", "hf-audio/x", 2.0)
    assert Setting.parse("a/b@1.5:int8") == Setting("a/b@1.5:int8", "a/b", 1.5, Precision.INT8)
    (tmp_path / "odd@2").mkdir()
    assert Setting.parse(f"{tmp_path}/odd@2").model == f"{tmp_path}/odd@2"
    with pytest.raises(InputError, match=r"mini:int9: 'int9' is no type; expected MODEL:TYPE with one of float32"):
        Setting.parse("mini:int9")
    with pytest.raises(InputError, match="'fast' is no number, of kbit/s or of codebooks; expected such as MODEL@2"):
        Setting.parse("mini@fast")


def test_a_mean_of_fewer_clips_than_there_are_says_of_how_many(recordings: Path, again: Path, tmp_path: Path) -> None:
    for folder in (recordings, again):
        Audio(np.zeros(16_000, np.float32), 16_000).save(folder / "silence.wav")
    result = run(recordings, "-r", again, "--asr", "none", "--html", tmp_path / "page.html")
    assert result.code == 0, result.err
    assert "of 2 clips" in result.out
    assert "<small>of 2 clips</small>" in (tmp_path / "page.html").read_text()


def test_silence_and_very_short_clips_have_reasons_instead_of_scores(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Audio(np.zeros(16_000, np.float32), 16_000).save(folder / "silence.wav")
    Audio(builders.speech(samples=160), 16_000).save(folder / "short.wav")
    Audio(np.ones(1, np.float32), 16_000).save(folder / "sample.wav")
    result = run(folder, "-m", model, "--json", tmp_path / "report.json", "--html", tmp_path / "report.html")
    assert result.code == 0, result.err
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    system = report["systems"][-1]
    assert system["means"]["stoi"] is None
    for row in system["clips"]:
        assert row["scores"]["stoi"] is None
        assert row["reasons"]["stoi"]
        assert row["scores"]["mel_distance"] is not None
    assert {row["name"]: row["reasons"]["stoi"] for row in system["clips"]}["silence.wav"] == (
        "the recording is digital silence"
    )


def test_what_cannot_be_measured_is_named_and_keeps_no_other_from_it(
    recordings: Path, again: Path, tmp_path: Path
) -> None:
    (recordings / "notes.wav").write_text("no audio\n")
    (recordings / "empty.wav").touch()
    Audio(builders.speech(1.0), 16_000).save(recordings / "alone.wav")
    Audio(builders.speech(1.0), 16_000).save(recordings / "longer.wav")
    Audio(builders.speech(2.0), 16_000).save(again / "longer.wav")
    shutil.copy(again / "longer.wav", again / "nobody.wav")
    result = run(recordings, "-r", again, "--asr", "none", "--json", tmp_path / "report.json")
    assert result.code == 1
    assert "notes.wav: is not audio" in result.err
    assert "empty.wav: is empty" in result.err
    assert f"alone.wav, {again}: there is no counterpart in {again}; expected alone.wav, alone.wav.wav" in result.err
    assert "takes 2.00 s and the recording 1.00 s" in result.err
    assert "what is no recording's counterpart was left out (1): nobody.wav" in result.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["systems"][-1]["clips"]] == ["a.flac", "x/b.wav"]
    assert len(report["failures"]) == 4


def test_what_cannot_be_read_is_left_out_by_name_and_fails_nothing_if_so_wanted(
    recordings: Path, again: Path, tmp_path: Path
) -> None:
    (recordings / "notes.wav").write_text("no audio\n")
    options = (recordings, "-r", again, "--asr", "none", "--ignore-unreadable")
    result = run(*options, "--json", tmp_path / "report.json")
    assert result.code == 0
    assert "left out: " in result.err
    assert "notes.wav: is not audio" in result.err
    assert "error:" not in result.err
    assert "Measured 2 of 3 recordings" in result.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in report["systems"][-1]["clips"]] == ["a.flac", "x/b.wav"]
    Audio(builders.speech(1.0), 16_000).save(recordings / "alone.wav")  # whose counterpart is missing: no such excuse
    result = run(*options)
    assert result.code == 1
    assert "alone.wav, " in result.err.partition("error: ")[2]


def test_two_counterparts_of_one_recording_are_an_error(recordings: Path, again: Path) -> None:
    shutil.copy(again / "a.flac.wav", again / "a.flac.ogg")
    result = run(recordings / "a.flac", "-r", again, "--asr", "none")
    assert result.code == 1
    assert "holds a.flac.wav, a.flac.ogg; expected one counterpart of a.flac" in result.err


def test_missing_programs_are_reported_and_the_rest_is_measured(
    recordings: Path, again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run(recordings, "-r", again, "--baseline", "codec2:3200", "--asr", "none")
    assert result.code == 0
    assert "codec2:3200: apt-get install codec2 (c2enc and c2dec)" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "there is nothing to evaluate; give --model, --reconstructions, --baseline or --command"),
        (("-r", "nowhere"), 1, "nowhere: is no folder; give the folder of the reconstructions"),
        (("--baseline", "mp3:64"), 1, "'mp3:64' is no baseline"),
        (("-m", "mini", "--json", "nowhere/report.json"), 1, "the folder nowhere does not exist; make it first"),
        (("-m", "mini", "--html", "."), 1, "it is a folder; give the name of a file"),
        (("-m", "mini", "--json", __file__), 1, "exists already; give --overwrite to replace it"),
        (("-m", "mini", "--utmos", __file__), 1, "is not a TorchScript file"),
        (("-m", "mini", "--speaker", "./nowhere"), 1, "cannot be loaded as a model of speakers' voices"),
        (("-m", "mini", "--transcripts", "nowhere.tsv"), 1, "nowhere.tsv: cannot be read: No such file"),
        (("-m", "mini", "-b", "7"), 1, "--bandwidth 7: mini has 0.8 kbit/s"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_measured(arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run(builders.RECORDINGS[1], *arguments, *(() if "--transcripts" in arguments else ("--asr", "none")))
    assert result.code == code
    assert message in result.err.replace("│ ", "").replace(" │", "")


def test_a_report_that_is_there_is_replaced_only_when_asked(recordings: Path, again: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("precious")
    assert run(recordings, "-r", again, "--json", report).code == 1
    assert report.read_text() == "precious"
    assert run(recordings, "-r", again, "--asr", "none", "--json", report, "--overwrite").code == 0
    assert json.loads(report.read_text())["format"] == "xcodec.evaluation"


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path, "-m", "mini", "--asr", "none")
    assert result.code == 1
    assert "no file ending in" in result.err


# The page


class Page(HTMLParser):
    """The elements of a page, with their attributes; what is not closed, and what lies outside the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "html", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_holds_all_that_is_heard_and_seen(recordings: Path, again: Path, model: Path, tmp_path: Path) -> None:
    arguments = ("-m", model, "-r", again, "--asr", "none", "--html", tmp_path / "page.html")
    assert run(recordings, *arguments).code == 0
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert page.open == []
    sources = [attributes["src"] for tag in ("img", "audio") for attributes in page.all(tag)]
    assert all(source and source.startswith("data:") for source in sources)
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    assert len(page.all("audio")) == 2 * 3  # two clips: the recording, the model's, the folder's
    kinds = [image["class"] for image in page.all("img")]
    assert (kinds.count("spectrogram"), kinds.count("codes")) == (6, 2)
    [codebook] = re.findall(r'<tr data-system="([^"]*)"><th>[^<]*</th><td>\d+</td><td>\d+</td><td>65,536</td>', text)
    assert codebook == str(model)
    heard = tmp_path / "heard.flac"
    heard.write_bytes(base64.b64decode(str(page.all("audio")[0]["src"]).partition(",")[2]))
    assert Audio.read(heard).duration == 1.0
    assert "he was not an ill disposed young man" in text


def test_what_reports_need_is_said_before_anything_is_measured(
    recordings: Path, again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "find_spec", lambda name: None if name == "PIL" else importlib.util.find_spec(name))
    result = run(recordings, "-r", again, "--html", tmp_path / "page.html")
    assert result.code == 1
    assert "reports need PIL: pip install 'xcodec[eval]'" in result.err


def test_names_are_text_on_the_page_and_no_markup(tmp_path: Path) -> None:
    folder = tmp_path / "<b>bold & loud"
    folder.mkdir()
    Audio(builders.speech(1.0), 16_000).save(folder / "<i>.wav")
    assert run(folder, "-r", folder, "--asr", "none", "--html", tmp_path / "page.html").code == 0
    text = (tmp_path / "page.html").read_text()
    assert "&lt;i&gt;.wav" in text
    assert "<i>" not in text
    assert Page(text).open == []


def test_the_page_has_so_many_players_as_asked_for_evenly_spaced() -> None:
    clips = [Clip(str(i), Path(str(i))) for i in range(100)]
    assert spread(clips, 3) == {"0", "50", "99"}
    assert spread(clips[:2], 12) == {"0", "1"}
    assert spread(clips, 0) == set()


def test_a_picture_is_the_png_that_other_programs_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 9)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels, ramp(256)))
    with Image.open(tmp_path / "a.png") as read:
        assert np.array_equal(np.array(read.convert("RGB")), ramp(256)[pixels])


def test_a_tone_is_a_line_in_the_spectrogram_at_its_frequency(tmp_path: Path) -> None:
    tone = Audio(np.sin(2 * np.pi * 2000 * np.arange(16_000) / 16_000), 16_000)
    (tmp_path / "tone.png").write_bytes(spectrogram_picture(tone, tone))
    with Image.open(tmp_path / "tone.png") as read:
        assert read.size == (16_000 // 128 + 1, 256)
        brightest = np.array(read).argmax(0)  # indices of the palette; row 0 is 8 kHz
    assert set(brightest[4:-4].tolist()) == {255 - 64}


def test_the_spectrogram_of_silence_is_dark(tmp_path: Path) -> None:
    silence = Audio(np.zeros(16_000, np.float32), 16_000)
    (tmp_path / "silence.png").write_bytes(spectrogram_picture(silence, silence))
    with Image.open(tmp_path / "silence.png") as read:
        assert not np.array(read).any()


def test_the_picture_of_codes_has_a_column_for_each_and_a_row_for_each_digit(model: Path, tmp_path: Path) -> None:
    codec = Codec.from_pretrained(model)
    codes = codec.encode(Audio(builders.speech(1.0), 16_000))
    (tmp_path / "codes.png").write_bytes(codes_picture(codes, Model(codec, "tiny").levels))
    with Image.open(tmp_path / "codes.png") as read:
        shown = np.array(read)
    digits = np.array([[code // 4**i % 4 for code in codes.ids[0]] for i in range(8)])
    assert np.array_equal(shown, 85 * digits)


# Clips, transcripts, and the library's own interface


def test_transcripts_are_found_as_librispeech_and_as_tables_have_them(tmp_path: Path) -> None:
    (tmp_path / "19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n19-198-0001 BY JANE AUSTEN\n")
    found = Transcripts()
    assert found.of("x/19-198-0001.flac", tmp_path / "19-198-0001.flac") == "BY JANE AUSTEN"
    assert found.of("other.flac", tmp_path / "other.flac") is None
    (tmp_path / "table.tsv").write_text("x/a.wav\tone\nb\ttwo\n")
    given = Transcripts(tmp_path / "table.tsv")
    assert given.of("x/a.wav", tmp_path / "a.wav") == "one"
    assert given.of("y/b.flac", tmp_path / "b.flac") == "two"
    (tmp_path / "bad.tsv").write_text("a.wav one\n")
    with pytest.raises(InputError, match=r"bad\.tsv, line 1: expected a name, a tab and a text; found 'a\.wav one'"):
        Transcripts(tmp_path / "bad.tsv")


def test_two_recordings_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"are both called a\.wav; give the folder above them"):
        clips_of([(Path("a.wav"), tmp_path / "x/a.wav"), (Path("a.wav"), tmp_path / "y/a.wav")], Transcripts())


def test_two_systems_of_one_name_are_an_error(again: Path) -> None:
    with pytest.raises(InputError, match="two systems are called again; give each once"):
        evaluate([], [Folder(again, "again"), Folder(again, "again")], [MelDistance()])


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of writing the predictor
def test_processes_beside_the_codec_give_the_scores_that_one_process_gives(
    recordings: Path, again: Path, model: Path, tmp_path: Path
) -> None:
    """With a predictor, which stays where the codec is; more clips than processes, and one file without sound."""
    for i in range(3):
        Audio(builders.speech(0.6 + 0.2 * i), 16_000).save(recordings / f"c{i}.wav")
    (recordings / "d.wav").write_bytes(b"no sound")
    options = ("-m", model, "-r", again, "--utmos", save_predictor(tmp_path / "predictor.jit"), "--asr", "none")
    told = []
    for workers in (0, 2):
        file = tmp_path / f"{workers}.json"
        result = run(recordings, *options, "--workers", workers, "--json", file)
        report = json.loads(file.read_text())
        for system in report["systems"]:
            system.pop("real_time_factor")
            for row in system["clips"]:
                row.pop("took")
        told.append((result.code, result.err, report["systems"], report["failures"]))
    assert told[0] == told[1]
    code, _, (truth, mine, theirs), failures = told[1]
    assert code == 1
    assert len(failures) == 4
    names = ["a.flac", "c0.wav", "c1.wav", "c2.wav", "x/b.wav"]
    assert [row["name"] for row in truth["clips"]] == [row["name"] for row in mine["clips"]] == names
    assert [row["name"] for row in theirs["clips"]] == ["a.flac", "x/b.wav"]
    assert all("utmos" in row["scores"] and "stoi" in row["scores"] for row in mine["clips"])


def test_a_process_that_dies_is_an_error_and_not_a_wait_for_ever() -> None:
    clip = Clip(builders.RECORDINGS[1].name, builders.RECORDINGS[1])
    with pytest.raises(MeasuringError, match=r"has died, with exit code 3.*--workers 0"):
        evaluate([clip], [Folder(clip.path.parent, "again")], [Deadly()], workers=1)


def test_at_the_level_of_the_recording_a_quieter_copy_is_a_copy(recordings: Path, again: Path, tmp_path: Path) -> None:
    """At half the level it is 6 dB away in its spectra, unless levels are matched."""
    told = []
    for options in ((), ("--match-level",)):
        file = tmp_path / f"{len(options)}.json"
        assert run(recordings, "-r", again, "--asr", "none", *options, "--json", file).code == 0
        report = json.loads(file.read_text())
        assert report["levels_matched"] == bool(options)
        told.append(scores(report, str(again), "a.flac"))
    assert told[0]["log_spectral_distance"] > 4.5
    assert told[1]["log_spectral_distance"] < 0.2 * told[0]["log_spectral_distance"]
    assert told[1]["si_sdr"] == pytest.approx(told[0]["si_sdr"], abs=0.01)


def test_the_level_is_of_where_the_recording_speaks() -> None:
    speech = np.repeat([0.1, 0.0], 16_000)
    noise_in_the_pause = np.repeat([0.05, 0.5], 16_000)
    assert gain(speech, noise_in_the_pause) == pytest.approx(2.0)
    assert gain(speech, 0 * speech) == 1.0
    assert gain(0 * speech, speech) == 1.0
    assert gain(speech[:10], speech[:10]) == 1.0
