"""A finished output for other libraries: data sets of the Hub, cuts of Lhotse, examples for LLaSA, several codecs."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import xcodec_builders
from cli_builders import run as run_program
from llasa_builders import small_llama, text_tokenizer
from tokenize_builders import job_for, run, write_clips
from xcodec.codec import Codec
from xcodec.errors import InputError
from xcodec.llasa import Prompts, SpeechTokens
from xcodec.llasa.prompt import Voice
from xcodec.models.xcodec import XcodecFeatureExtractor
from xcodec.tokenization.exports import EXPORTS, hub
from xcodec.tokenization.exports.hub import export_hub, push
from xcodec.tokenization.exports.llasa_dataset import export_llasa
from xcodec.tokenization.joined import JoinedTokens
from xcodec.tokenization.tokens import Tokens

TEXTS = ["Call me Ishmael.", "Some years ago", None, "never mind how long", "precisely", "having little money"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of two speakers."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        {"path": name, "id": name, "text": text, "speaker": "ab"[i // 3], "take": i}
        for i, (name, text) in enumerate(zip(sorted(write_clips(folder, len(TEXTS))), TEXTS, strict=True))
    ]
    (folder / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "m.jsonl"


@pytest.fixture(scope="module")
def tokens(model: Path, codec: Codec, manifest: Path) -> Tokens:
    run(job_for(model, manifest.parent / "out"), codec, manifest, hours=0.0004)
    return Tokens(manifest.parent / "out")


@pytest.fixture(scope="module")
def second(manifest: Path) -> Path:
    """The same clips in the codes of another codec, of eight codebooks, in other shards."""
    folder = manifest.parent
    xcodec_builders.tiny_xcodec().save_pretrained(folder / "model")
    XcodecFeatureExtractor().save_pretrained(folder / "model")
    run(job_for(folder / "model", folder / "second"), Codec.from_pretrained(folder / "model"), manifest, hours=0.0002)
    return folder / "second"


# The Hub


def test_a_hub_folder_holds_the_rows_and_a_card_that_says_what_they_are(tokens: Tokens, tmp_path: Path) -> None:
    report = export_hub(tokens, tmp_path / "hub", licence="cc-by-4.0")
    assert str(report) == "6 recordings"
    assert sorted(path.name for path in (tmp_path / "hub").rglob("*.*")) == ["README.md", "train-00000.parquet"]
    table = pq.read_table(tmp_path / "hub/data/train-00000.parquet")
    assert table.schema.names == ["id", "codes", "frames", "seconds", "source_rate", "text", "speaker", "take"]
    for row, stored in zip(tokens.rows(), table.to_pylist(), strict=True):
        assert stored["codes"] == row.codes[0].tolist()
        assert stored == row.fields | {"codes": stored["codes"], "frames": row.codes.shape[1]}
    _, front, text = (tmp_path / "hub/README.md").read_text().split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["size_categories"]) == ("cc-by-4.0", ["n<1K"])
    assert told["configs"][0]["data_files"][0]["path"] == "data/train-*.parquet"
    seconds = [row.seconds for row in tokens.rows()]
    assert f"6 recordings, {sum(seconds) / 3600:.2f} hours" in text
    assert f"the longest {max(seconds):.2f} s" in text
    assert "Where the recordings come from" in text
    assert "/" not in front.partition("configs")[0], "no path of this machine is told"
    assert str(tokens.plan.store) not in (tmp_path / "hub/README.md").read_text()


def test_the_datasets_library_reads_a_hub_folder(tokens: Tokens, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'xcodec[datasets]'")
    export_hub(tokens, tmp_path / "hub")
    loaded = datasets.load_dataset(str(tmp_path / "hub"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[:]["id"] == [row.id for row in tokens.rows()]
    assert loaded[0]["codes"] == next(tokens.rows()).codes[0].tolist()


def test_a_licence_that_is_not_known_is_to_be_filled_in(tokens: Tokens, tmp_path: Path) -> None:
    export_hub(tokens, tmp_path)
    front = (tmp_path / "README.md").read_text().split("---\n")[1]
    assert "license: unknown  # fill in" in front
    assert yaml.safe_load(front)["license"] == "unknown"
    with pytest.raises(InputError, match="holds files already; give another folder"):
        export_hub(tokens, tmp_path)


def test_large_data_sets_are_several_files(tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_FILE_BYTES", 100)
    monkeypatch.setattr(hub, "_AT_ONCE", 2)
    export_hub(tokens, tmp_path)
    names = [path.name for path in sorted((tmp_path / "data").iterdir())]
    assert names == ["train-00000.parquet", "train-00001.parquet", "train-00002.parquet"]
    ids = [each for name in names for each in pq.read_table(tmp_path / "data" / name)["id"].to_pylist()]
    assert ids == [row.id for row in tokens.rows()]


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as an upload of small files asks for; it remembers what it was sent."""

    commits: list[dict[str, bytes]]
    made: list[dict[str, Any]]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            self.answer({"url": f"http://{self.headers['Host']}/datasets/ann/codes"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            how = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer({"files": [{"path": each["path"], **how} for each in files]})
        elif "/commit/" in self.path:
            lines = [json.loads(line)["value"] for line in body.splitlines()]
            self.commits.append({each["path"]: base64.b64decode(each["content"]) for each in lines if "path" in each})
            self.answer(
                {
                    "success": True,
                    "commitOid": "0" * 40,
                    "commitUrl": f"http://{self.headers['Host']}/datasets/ann/codes/commit/0",
                }
            )
        else:
            self.answer({})

    def do_GET(self) -> None:
        self.answer({"siblings": [], "id": "ann/codes", "sha": "0" * 40})

    def answer(self, what: dict[str, Any]) -> None:
        contents = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(contents)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(contents)


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    pytest.importorskip("huggingface_hub", reason="pip install huggingface_hub")
    from huggingface_hub import constants

    kind = type("ThisHub", (Hub,), {"commits": [], "made": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_this_test")
        yield kind
        server.shutdown()
        thread.join()


def test_a_folder_is_uploaded_when_asked_and_a_new_data_set_is_private(
    tokens: Tokens, tmp_path: Path, hub_server: type[Hub]
) -> None:
    export_hub(tokens, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert push(tmp_path, "ann/codes").endswith("/datasets/ann/codes")
    [made] = hub_server.made
    assert (made["name"], made["organization"], made["type"]) == ("codes", "ann", "dataset")
    assert made.get("private") or made.get("visibility") == "private"  # as the library's version has it
    [commit] = hub_server.commits
    assert commit == {name: (tmp_path / name).read_bytes() for name in ("README.md", "data/train-00000.parquet")}


# Lhotse


def test_lhotse_loads_cuts_with_their_codes_and_their_recordings(tokens: Tokens, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse", reason="pip install lhotse")
    assert EXPORTS["lhotse"](tokens, tmp_path).rows == len(TEXTS)
    cuts = list(lhotse.CutSet.from_file(tmp_path / "cuts.jsonl.gz"))
    lhotse.validate(lhotse.CutSet.from_cuts(cuts))
    for row, cut in zip(tokens.rows(), cuts, strict=True):
        assert (cut.id, cut.duration, cut.custom["take"]) == (row.id, row.seconds, row.carried["take"])
        [spoken] = cut.supervisions
        assert (spoken.text, spoken.speaker) == (row.carried["text"], row.carried["speaker"])
        assert np.array_equal(cut.codes.load(), row.codes[0])
        frames = len(cut.load_codes())
        assert abs(frames - row.codes.shape[1]) <= 1, "Lhotse rounds the length of a cut to frames"
        assert np.array_equal(cut.load_codes(), row.codes[0][:frames])
        assert cut.load_audio().shape == (1, round(row.seconds * 16000))
        half = cut.truncate(duration=row.seconds / 2)
        assert abs(len(half.load_codes()) - row.codes.shape[1] / 2) <= 1


def test_cuts_of_spans_begin_where_the_spans_do(model: Path, codec: Codec, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse", reason="pip install lhotse")
    [clip] = write_clips(tmp_path, 1)
    rows = [{"path": clip, "id": "x", "start": 0.1, "duration": 0.2}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, tmp_path / "out"), codec, tmp_path / "m.jsonl")
    tokens = Tokens(tmp_path / "out")
    EXPORTS["lhotse"](tokens, tmp_path / "cuts")
    [cut] = lhotse.CutSet.from_file(tmp_path / "cuts/cuts.jsonl.gz")
    [row] = tokens.rows()
    assert (cut.start, cut.duration) == (0.1, 0.2)
    assert np.array_equal(cut.load_codes(), row.codes[0][: len(cut.load_codes())])
    again = codec.encode(lhotse_audio(cut))
    assert np.array_equal(again.ids, row.codes)


def lhotse_audio(cut: Any) -> Any:
    from xcodec.audio import Audio

    return Audio(cut.load_audio()[0], cut.sampling_rate)


# Examples for LLaSA


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    tokenizer = text_tokenizer()
    SpeechTokens.add(tokenizer)
    small_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompts_of(llm: Path) -> Prompts:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llm)
    return Prompts(tokenizer, SpeechTokens.of(tokenizer))


def test_examples_are_prompts_and_answers_of_which_answers_are_learned(
    tokens: Tokens, llm: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'xcodec[datasets]'")
    report = export_llasa(tokens, tmp_path / "rows", str(llm))
    assert report.rows == 5
    assert list(report.skipped) == ["the text is empty; there is nothing to say"]
    loaded = datasets.load_from_disk(str(tmp_path / "rows"))
    prompts = prompts_of(llm)
    said = [row for row in tokens.rows() if row.carried["text"]]
    for row, example in zip(said, loaded, strict=True):
        prompt = prompts.ids(row.carried["text"])
        answer = [*prompts.tokens.to_ids(row.codes[0]), prompts.tokens.end_id]
        assert (example["id"], example["voice"]) == (row.id, "")
        assert example["input_ids"] == [*prompt, *answer]
        assert example["labels"] == [-100] * (len(prompt) - 1) + [prompt[-1], *answer]


def test_with_voices_each_is_asked_for_in_the_voice_of_the_recording_before(
    tokens: Tokens, llm: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'xcodec[datasets]'")
    export_llasa(tokens, tmp_path / "rows", str(llm), voices="speaker")
    loaded = datasets.load_from_disk(str(tmp_path / "rows"))
    rows = list(tokens.rows())
    ids = [row.id for row in rows]
    assert loaded["voice"][:] == ["", ids[0], "", ids[3], ids[4]]
    prompts = prompts_of(llm)
    voice = Voice(rows[3].carried["text"], tokens.codes(rows[3]))
    prompt = prompts.ids(rows[4].carried["text"], voice)
    example = loaded[3]
    answer = [*prompts.tokens.to_ids(rows[4].codes[0]), prompts.tokens.end_id]
    assert example["input_ids"] == [*prompt, *answer]
    assert example["labels"] == [-100] * len(prompt) + answer


def test_packed_rows_hold_the_same_examples_with_their_boundaries(tokens: Tokens, llm: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'xcodec[datasets]'")
    export_llasa(tokens, tmp_path / "single", str(llm))
    single = {each["id"]: each for each in datasets.load_from_disk(str(tmp_path / "single"))}
    length = 2 * max(len(each["input_ids"]) for each in single.values())
    report = export_llasa(tokens, tmp_path / "packed", str(llm), length=length, packed=True)
    packed = datasets.load_from_disk(str(tmp_path / "packed"))
    assert str(report).startswith(f"5 recordings in {len(packed)} rows of {length:,} ids; 1 skipped: ")
    assert len(packed) < 5
    seen = []
    for row in packed:
        assert {len(row[name]) for name in ("input_ids", "labels", "position_ids")} == {length}
        at = 0
        for name, count in zip(row["ids"], row["lengths"], strict=True):
            assert row["input_ids"][at : at + count] == single[name]["input_ids"]
            assert row["labels"][at : at + count] == single[name]["labels"]
            assert row["position_ids"][at : at + count] == list(range(count))
            at += count
            seen.append(name)
        assert set(row["labels"][at:]) <= {-100}
        assert row["position_ids"][at:] == list(range(length - at))
    assert sorted(seen) == sorted(single)


def test_what_is_longer_than_a_row_is_left_out_and_a_voice_that_makes_it_so_is_not_given(
    tokens: Tokens, llm: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'xcodec[datasets]'")
    export_llasa(tokens, tmp_path / "single", str(llm))
    lengths = [len(each["input_ids"]) for each in datasets.load_from_disk(str(tmp_path / "single"))]
    report = export_llasa(tokens, tmp_path / "rows", str(llm), voices="speaker", length=max(lengths) - 1)
    assert report.rows == 4
    assert report.skipped["text and speech are longer than a row"] == 1
    loaded = datasets.load_from_disk(str(tmp_path / "rows"))
    assert max(len(each["input_ids"]) for each in loaded) < max(lengths)
    with pytest.raises(InputError, match=r"carries no column 'nobody' \(it carries text, speaker, take\)"):
        export_llasa(tokens, tmp_path / "other", str(llm), voices="nobody")
    with pytest.raises(InputError, match="is there already"):
        export_llasa(tokens, tmp_path / "rows", str(llm))


# Several codecs


def test_codes_of_two_codecs_are_joined_by_id_in_every_form(tokens: Tokens, second: Path, tmp_path: Path) -> None:
    output = tokens.plan.store.folder  # type: ignore[attr-defined]
    others = {row.id: row.codes for row in Tokens(second).rows()}
    joined = JoinedTokens(output, {"x": second})
    for form in ("npy", "jsonl", "webdataset", "hf", "lhotse"):
        assert EXPORTS[form](joined, tmp_path / form).rows == len(TEXTS)
    lines = [json.loads(line) for line in (tmp_path / "jsonl/codes.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "hf/data/train-00000.parquet").to_pylist()
    for row, line, stored in zip(tokens.rows(), lines, table, strict=True):
        codes = others[row.id]
        assert codes.shape[0] == 8
        assert line["codes"] == stored["codes"] == row.codes[0].tolist()
        assert line["codes_x"] == stored["codes_x"] == codes.tolist()
        assert line["frames_x"] == stored["frames_x"] == codes.shape[1]
        assert np.array_equal(np.load(tmp_path / f"npy/{row.id}.npy"), row.codes[0])
        assert np.array_equal(np.load(tmp_path / f"npy/{row.id}.x.npy"), codes)
        assert np.array_equal(np.load(tmp_path / f"lhotse/codes/{row.id}.x.npy"), codes.T)
    size = Tokens(second).codec["codebook_sizes"][0]
    assert f"| 8 x {size:,} |" in (tmp_path / "hf/README.md").read_text()


def test_ids_that_only_one_output_has_are_refused_or_left_out_and_counted(
    tokens: Tokens, model: Path, codec: Codec, manifest: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in manifest.read_text().splitlines()][1:]
    rows.append({"path": rows[0]["path"], "id": "more", "text": "so", "speaker": "a", "take": 9})
    (manifest.parent / "fewer.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(job_for(model, tmp_path / "fewer"), codec, manifest.parent / "fewer.jsonl")
    output = tokens.plan.store.folder  # type: ignore[attr-defined]
    first = next(tokens.rows()).id
    with pytest.raises(InputError) as caught:
        EXPORTS["jsonl"](JoinedTokens(output, {"y": tmp_path / "fewer"}), tmp_path / "made")
    assert f"1 recordings have codes in {output} only, such as {first!r}" in str(caught.value)
    assert f"1 recordings have codes in {tmp_path / 'fewer'} only, such as 'more'" in str(caught.value)
    told = run_program(
        "tokenize", "export", output, "--to", "jsonl", "-o", tmp_path / "made", "--join", f"y={tmp_path / 'fewer'}"
    )
    assert told.code == 1
    assert "leave out what not all have: --common" in told.err
    assert not (tmp_path / "made").exists()
    told = run_program(
        "tokenize", "export", output, "--to", "jsonl", "-o", tmp_path / "made", "--join", f"y={tmp_path / 'fewer'}",
        "--common",
    )  # fmt: skip
    assert (told.code, told.out) == (0, f"Exported to {tmp_path / 'made'}: 5 recordings; 1 skipped: no codes of y\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "llasa"], "--to llasa needs --llm"),
        (["--to", "npy", "--licence", "mit"], "--licence is for --to hf"),
        (["--to", "hf", "--packed"], "--packed is for --to llasa"),
        (["--to", "npy", "--common"], "--common is for --join"),
        (["--to", "npy", "--join", "other"], "expected NAME=OUT"),
        (["--to", "omnivoice", "--join", "x=other"], "omnivoice holds the codes of one codec"),
    ],
)
def test_options_that_have_no_effect_are_wrong_usage(tmp_path: Path, arguments: list[str], reason: str) -> None:
    told = run_program("tokenize", "export", tmp_path, "-o", tmp_path / "made", *arguments)
    assert told.code == 2
    assert reason in " ".join(told.err.replace("│", " ").split())
