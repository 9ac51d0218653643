"""Folders of audio files, and the files that a pattern matches."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from xcodec.audio import MEDIA_SUFFIXES
from xcodec.errors import InputError
from xcodec.location import Location
from xcodec.tokenization.inputs.entries import BATCH_ROWS, entries, estimated_seconds

__all__ = ["FileReader", "FolderReader"]

Listed = list[tuple[str, str, float]]
"""Of each file its id, its place, and its estimated seconds."""


class FolderReader:
    """All audio files below a folder. An id is the path below it, suffix and all, so a.wav and a.flac stay apart."""

    carried = pa.schema([])

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The files in order of name, folder by folder."""
        listed: Listed = []
        empty = True
        for file, size in self.folder.files(MEDIA_SUFFIXES):
            empty = False
            relative = file.path[len(self.folder.path.rstrip("/")) + 1 :]
            listed.append((relative, str(file), estimated_seconds(file.name, size)))
            if len(listed) == BATCH_ROWS:
                yield batch_of(listed)
                listed = []
        if empty:
            raise InputError(
                f"{self.folder}: no file ending in {', '.join(MEDIA_SUFFIXES)} in this folder or below it; for tars "
                "give a pattern, such as 'folder/*.tar', and for a manifest its file"
            )
        yield batch_of(listed)


class FileReader:
    """Files that were named or that a pattern matched. An id is the path below what they have in common."""

    carried = pa.schema([])

    def __init__(self, files: Sequence[Location]) -> None:
        self.files = files

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The files in the order in which they were given."""
        folders = [file.folder.path.rstrip("/").split("/") for file in self.files]
        depth = 0
        while all(len(parts) > depth and parts[depth] == folders[0][depth] for parts in folders):
            depth += 1
        for first in range(0, len(self.files), BATCH_ROWS):
            yield batch_of(
                [
                    ("/".join(file.path.split("/")[depth:]), str(file), estimated_seconds(file.name, file.size()))
                    for file in self.files[first : first + BATCH_ROWS]
                ]
            )


def batch_of(listed: Listed) -> pa.RecordBatch:
    """Entries of whole files."""
    ids, uris, seconds = zip(*listed, strict=True) if listed else ((), (), ())
    return entries(pa.schema([]), {"id": ids, "uri": uris, "seconds": seconds})
