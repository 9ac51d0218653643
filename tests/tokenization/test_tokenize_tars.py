"""WebDataset tars: every recording in them, wherever it lies; and what is wrong with the rest."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import builders
from tokenize_builders import entries, faults, read_one
from xcodec.audio import Audio
from xcodec.errors import AudioError
from xcodec.tokenization.readers import ReaderPool, ReadingLimits

SPEECH = builders.RECORDINGS[1]


@pytest.fixture(scope="module")
def pool() -> Iterator[ReaderPool]:
    with ReaderPool(1, 16000, ReadingLimits(60.0, 60.0)) as readers:
        yield readers


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, contents in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return path


def test_a_tar_gives_its_samples_where_they_lie(tmp_path: Path, pool: ReaderPool) -> None:
    members = {
        "x/k1.wav": SPEECH.read_bytes(),
        "x/k1.json": b'{"speaker": 3, "text": "hi"}',
        "x/k2.txt": b"only text",
        "x/k2.flac": SPEECH.read_bytes(),
    }
    write_tar(tmp_path / "s.tar", members)
    first, second = entries(tmp_path / "*.tar")
    assert [(row["id"], row["text"], row["speaker"]) for row in (first, second)] == [
        ("s/x/k1.wav", "hi", 3),
        ("s/x/k2.flac", "only text", None),
    ]
    assert read_one(pool, first).audio == read_one(pool, second).audio == Audio.read(SPEECH)


def test_members_of_a_sample_need_not_lie_side_by_side(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "s.tar", {"b.wav": b"1", "a.wav": b"2", "a.txt": b"of a\n", "b.json": b'{"n": 1}', "b.txt": b"x"}
    )
    found = [(row["id"], row["text"], row["n"]) for row in entries(tmp_path / "s.tar")]
    assert found == [("s/b.wav", "x", 1), ("s/a.wav", "of a", None)]


@pytest.mark.parametrize(
    ("stored", "text"), [(b"so\n", "so"), (b"so\r\n", "so"), (b"so\n\n", "so\n"), (b"\xef\xbb\xbfso", "so")]
)
def test_the_end_of_a_texts_last_line_is_no_part_of_it(stored: bytes, text: str, tmp_path: Path) -> None:
    [row] = entries(write_tar(tmp_path / "s.tar", {"a.wav": b"", "a.txt": stored}))
    assert row["text"] == text


def test_links_are_what_they_lead_to(tmp_path: Path, pool: ReaderPool) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one").write_bytes(SPEECH.read_bytes())
    os.link(tmp_path / "data/one", tmp_path / "data/x.wav")
    (tmp_path / "data/y.wav").symlink_to("one")
    (tmp_path / "data/z.wav").symlink_to("nowhere")
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        tar.add(tmp_path / "data/y.wav", "y.wav")  # before what it leads to
        for name in ("one", "x.wav", "z.wav"):
            tar.add(tmp_path / "data" / name, name)
        assert tar.getmember("x.wav").islnk()
    first, second = [row for row in entries(tmp_path / "s.tar") if row["fault"] is None]
    assert (first["id"], second["id"]) == ("s/y.wav", "s/x.wav")
    assert read_one(pool, first).audio == read_one(pool, second).audio == Audio.read(SPEECH)
    assert faults(tmp_path / "s.tar") == {"s/z.wav": "its z.wav is a link to 'nowhere', which is not in the tar"}


def test_a_cut_tar_gives_what_is_whole_and_names_the_rest(tmp_path: Path, pool: ReaderPool) -> None:
    whole = write_tar(tmp_path / "s.tar", {f"{i}.wav": SPEECH.read_bytes() for i in range(3)}).read_bytes()
    other = write_tar(tmp_path / "t.tar", {"k.wav": SPEECH.read_bytes()})
    member = 512 + -(-SPEECH.stat().st_size // 512) * 512
    (tmp_path / "s.tar").write_bytes(whole[: 2 * member + 1000])
    found = entries(tmp_path / "*.tar")
    assert [row["id"] for row in found] == ["s/0.wav", "s/1.wav", "s/2.wav", "t/k.wav", "s.tar"]
    assert "is damaged, cut short or no tar: unexpected end of data" in faults(tmp_path / "*.tar")["s.tar"]
    by_id = {row["id"]: row for row in found}
    assert read_one(pool, by_id["s/1.wav"]).audio == Audio.read(SPEECH)
    with pytest.raises(AudioError, match=r"it ends \d+ bytes before the recording does"):
        read_one(pool, by_id["s/2.wav"])
    assert str(other) == by_id["t/k.wav"]["uri"]


def test_a_tar_that_is_cut_between_two_members_is_noticed(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "s.tar", {"0.wav": b"x", "1.wav": b"y"}).read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[:1024])
    assert faults(tmp_path / "s.tar") == {
        "s.tar": "ends at byte 1,024 without the mark that ends a tar, so it may be cut short"
    }
    (tmp_path / "s.tar").write_bytes(whole[:1024] + b"?" * 512 + whole[1536:])
    assert "is damaged at byte 1,024: there is no header" in faults(tmp_path / "s.tar")["s.tar"]


def test_joined_tars_are_read_to_the_end(tmp_path: Path) -> None:
    one, two = (write_tar(tmp_path / f"{i}.tar", {f"{i}.wav": b"x"}) for i in range(2))
    (tmp_path / "s.tar").write_bytes(one.read_bytes() + two.read_bytes())
    assert [row["id"] for row in entries(tmp_path / "s.tar")] == ["s/0.wav", "s/1.wav"]


def test_a_member_that_is_replaced_later_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", {"0.wav": b"x"})
    with tarfile.open(tmp_path / "s.tar", "a") as tar:
        member = tarfile.TarInfo("0.wav")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"yz"))
    assert [row["byte_count"] for row in entries(tmp_path / "s.tar") if row["fault"] is None] == [2]
    assert faults(tmp_path / "s.tar") == {
        "s/0@512.wav": "its 0@512.wav is replaced by a member of the same name that comes later"
    }


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"k.json": b"[1]"}, "its k.json is a list, expected an object"),
        ({"k.json": b"{"}, "its k.json is not JSON"),
        ({"k.txt": b"\xff"}, "its k.txt 'utf-8' codec can't decode"),
        ({"k.json": b'{"a": "x"}'}, "holds 'x' as 'a', which is int64 on other lines; write them alike"),
    ],
)
def test_what_is_wrong_with_a_sample_is_a_fault_of_its_recordings(
    members: dict[str, bytes], said: str, tmp_path: Path
) -> None:
    write_tar(tmp_path / "s.tar", {"a.wav": b"", "a.json": b'{"a": 1}', "k.wav": b"", **members, "l.flac": b""})
    assert [row["id"] for row in entries(tmp_path / "s.tar") if row["fault"] is None] == ["s/a.wav", "s/l.flac"]
    [(where, reason)] = faults(tmp_path / "s.tar").items()
    assert where == "s/k.wav"
    assert said in reason


def test_a_compressed_tar_is_a_fault_beside_others(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        tar.add(SPEECH, "k.wav")
    write_tar(tmp_path / "t.tar", {"k.wav": b""})
    assert "unpack it to .tar first" in faults(tmp_path / "*.tar*")["s.tar.gz"]
    (tmp_path / "cut.tar").write_bytes(b"x" * 700)
    assert "is damaged, cut short or no tar" in faults(tmp_path / "cut.tar")["cut.tar"]
    (tmp_path / "empty.tar").touch()
    assert "no tar: empty file" in faults(tmp_path / "empty.tar")["empty.tar"]
