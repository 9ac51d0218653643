"""What a file is, told from its first bytes, for messages about files that cannot be read."""

from xcodec.audio.source import Source

__all__ = ["after_id3", "describe"]

# What stands at which byte, and what such a file is called. "Audio" and "video" are what FFmpeg can read.
_AUDIO = (
    (4, b"ftypM4A", "AAC or ALAC in MP4, as telephones record it"),
    (4, b"ftypM4B", "AAC in MP4, an audiobook"),
    (4, b"ftyp3g", "3GP, as telephones record it"),
    (4, b"ftypqt", "a QuickTime film"),
    (4, b"ftyp", "MP4"),
    (4, b"moov", "a QuickTime film"),
    (4, b"mdat", "a QuickTime film"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska, as browsers record it"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA or WMV (ASF)"),
    (0, b"#!AMR", "AMR, as telephones record it"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"TTA2", "True Audio"),
    (0, b"tBaK", "TAK"),
    (0, b"MP+", "Musepack"),
    (0, b"MPCK", "Musepack"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"ajkg", "Shorten"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b".RMF", "RealMedia"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"caff", "CAF"),
    (0, b"fLaC", "FLAC of an unusual sample size"),
    (0, b"FORM", "AIFF"),
    (0, b"\x00\x00\x01\xba", "an MPEG film"),
    (0, b"ADIF", "AAC"),
    (8, b"AVI ", "an AVI film"),
    (8, b"WAVE", "WAV with an encoding other than PCM"),
    (28, b"\x01vorbis", "Ogg Vorbis"),
    (28, b"OpusHead", "Ogg Opus"),
    (28, b"\x7fFLAC", "FLAC in Ogg"),
    (28, b"Speex   ", "Speex"),
    (28, b"\x80theora", "an Ogg film"),
    (0, b"OggS", "Ogg"),
)
_OTHER = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"MThd", "a MIDI file, notes without sound"),
    (0, b"<!DOCTYPE", "a web page, as servers send it in place of a file"),
    (0, b"<html", "a web page, as servers send it in place of a file"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with: git lfs pull"),
)


def describe(source: Source) -> tuple[str | None, bool]:
    """Name what a file is by its first bytes.

    Returns:
        Its name, or None where it is not known; and whether such files hold audio.
    """
    for begin in {after_id3(source), 0}:
        head = source.read_at(begin, 300)
        for table, is_audio in ((_AUDIO, True), (_OTHER, False)):
            for place, magic, name in table:
                if head[place : place + len(magic)] == magic:
                    return name, is_audio
        if len(head) > 6 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
            return "AAC", True
        # 33 bytes a frame, each of which begins with the same four bits
        if len(head) >= 99 and all(head[at] >> 4 == 0xD for at in range(0, len(head), 33)):
            return "GSM", True
        if len(head) > 188 and head[0] == head[188] == 0x47:
            return "an MPEG film", True
    return None, False


def after_id3(source: Source) -> int:
    """Return the byte after the ID3v2 tags at the start of a file, 0 where there are none."""
    position = 0
    while True:
        head = source.read_at(position, 10)
        if head[:3] != b"ID3" or len(head) < 10 or max(head[6:]) > 127:
            return position
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        position += 10 + size + 10 * (head[5] >> 4 & 1)
