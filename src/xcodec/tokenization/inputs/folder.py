"""Folders of audio and video files, and the files that a pattern matches."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from xcodec.audio import MEDIA_SUFFIXES, is_media
from xcodec.errors import InputError
from xcodec.location import Location, Stamp
from xcodec.tokenization.inputs.entries import BATCH_ROWS, Fault, entries, estimated_seconds, fault_entries

__all__ = ["FileReader", "FolderReader", "common_folder"]

Listed = list[tuple[str, str, Stamp]]
"""Of each file its id, its place, and its size and time."""

_NOTHING = pa.schema([])


class FolderReader:
    """All audio and video files below a folder.

    An id is the path below it, suffix and all, so a.wav and a.flac stay apart.

    Args:
        folder: to search.
        root: what ids are relative to, which contains the folder; None is the folder.
    """

    carried = _NOTHING

    def __init__(self, folder: Location, root: Location | None = None) -> None:
        self.folder, self.root = folder, root or folder

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The files in order of name, folder by folder; a folder that cannot be read is an entry of its own."""
        listed: Listed = []
        faults: list[Fault] = []
        empty = True
        for found in self.folder.files(is_media):
            if found.refused and found.place == self.folder:
                raise InputError(found.refused, subject=self.folder)
            empty = False
            name = self.id_of(found.place)
            if found.refused:
                faults.append(Fault(f"{name}/", str(found.place), f"{found.refused}; what is in it is not known"))
                continue
            listed.append((name, str(found.place), found.stamp))
            if len(listed) == BATCH_ROWS:
                yield batch_of(listed)
                listed = []
        if empty and self.folder == self.root:
            raise InputError(
                f"no file ending in {', '.join(MEDIA_SUFFIXES)} in this folder or below it; for tars give "
                "a pattern, such as 'folder/*.tar', and for a manifest its file",
                subject=self.folder,
            )
        yield batch_of(listed)
        yield from fault_entries(self.carried, faults)

    def id_of(self, place: Location) -> str:
        """The path below the root."""
        return place.path[len(self.root.path.rstrip("/")) + 1 :]


class FileReader:
    """Files that were named or that a pattern matched. An id is the path below what they have in common.

    Args:
        files: to read.
        root: what ids are relative to, which contains the files; None is the folder that they have in common.
    """

    carried = _NOTHING

    def __init__(self, files: Sequence[Location], root: Location | None = None) -> None:
        self.files, self.root = files, root or common_folder([file.folder for file in files])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The files in the order in which they were given."""
        below = len(self.root.path.rstrip("/")) + 1
        for first in range(0, len(self.files), BATCH_ROWS):
            files = self.files[first : first + BATCH_ROWS]
            yield batch_of([(file.path[below:], str(file), file.stamp()) for file in files])


def common_folder(folders: Sequence[Location]) -> Location:
    """The deepest folder that contains all of some."""
    parts = [folder.path.rstrip("/").split("/") for folder in folders]
    depth = 0
    while all(len(each) > depth and each[depth] == parts[0][depth] for each in parts):
        depth += 1
    return folders[0].at("/".join(parts[0][:depth]) or "/")


def batch_of(listed: Listed) -> pa.RecordBatch:
    """Entries of whole files."""
    return entries(
        _NOTHING,
        {
            "id": [name for name, _, _ in listed],
            "uri": [uri for _, uri, _ in listed],
            "seconds": [estimated_seconds(uri, stamp.size) for _, uri, stamp in listed],
            "file_size": [stamp.size for _, _, stamp in listed],
            "file_modified": [stamp.modified for _, _, stamp in listed],
        },
    )
