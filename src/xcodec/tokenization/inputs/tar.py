"""What lies in a tar, told without unpacking it: members by position, links resolved, damage named."""

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from xcodec.errors import InputError

__all__ = ["Member", "contents", "members_of"]

_BLOCK = 512  # bytes; members begin at multiples
_CHUNK = 1 << 20
_FOLLOWED = 16  # links to links


@dataclass(frozen=True)
class Member:
    """A file in a tar, or the place where the tar is damaged.

    Args:
        name: as the tar has it, without ./ before it; empty where the tar itself is damaged.
        start: its first byte in the tar.
        size: in bytes.
        fault: why it cannot be read; empty where it can.
    """

    name: str
    start: int = 0
    size: int = 0
    fault: str = ""


def members_of(file: IO[bytes]) -> list[Member]:
    """The files in a tar, in their order; hard and symbolic links are the files that they lead to.

    Tars that were joined end to end are read to the end. What is no file, such as a folder, is left out.
    """
    found: dict[str, Member] = {}
    links: dict[str, str] = {}
    faults: list[Member] = []
    for info in headers(file):
        if isinstance(info, str):
            faults.append(Member("", fault=info))
            continue
        name = posixpath.normpath(info.name)
        if name in found and not info.isdir():
            place = f"@{found[name].start}".join(posixpath.splitext(name))
            found[place] = Member(place, fault="is replaced by a member of the same name that comes later")
        if info.islnk() or info.issym():
            target = info.linkname if info.islnk() else posixpath.join(posixpath.dirname(name), info.linkname)
            links[name] = posixpath.normpath(target)
            found[name] = Member(name)  # keeps its turn
        elif info.issparse():
            found[name] = Member(name, fault="is stored with holes (as a sparse file); make the tar anew without them")
        elif info.isfile():
            links.pop(name, None)
            found[name] = Member(name, info.offset_data, info.size)
        elif not info.isdir():
            found[name] = Member(name, fault="is no regular file")
    for name in links:
        found[name] = followed(name, found, links)
    return [*found.values(), *faults]


def followed(name: str, found: dict[str, Member], links: dict[str, str]) -> Member:
    """The file that a link leads to, under the link's name."""
    target = name
    for _ in range(_FOLLOWED):
        if target not in links:
            break
        target = links[target]
    if target in found and target not in links:
        end = found[target]
        return Member(name, end.start, end.size, end.fault)
    return Member(name, fault=f"is a link to {links[name]!r}, which is not in the tar")


def headers(file: IO[bytes]) -> Iterator[tarfile.TarInfo | str]:
    """The headers of a tar, or of several that were joined; where it is damaged, what is wrong, and then no more.

    `tarfile` itself takes a header that it cannot understand for the end, and stops at the first of joined tars.
    """
    offset: int | None = 0
    while offset is not None:
        file.seek(offset)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for info in tar:
                    yield info
                    tar.members.clear()  # type: ignore[attr-defined]  # or it would keep all that it has seen
                end = tar.offset
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            yield f"is damaged, cut short or no tar: {error}"
            return
        file.seek(end)
        block = file.read(_BLOCK)
        if block.strip(b"\0"):
            yield f"is damaged at byte {end:,}: there is no header of a file; what follows is not known"
            return
        if len(block) < _BLOCK:
            yield f"ends at byte {end:,} without the mark that ends a tar, so it may be cut short"
            return
        offset = next_after_zeros(file)


def next_after_zeros(file: IO[bytes]) -> int | None:
    """Where after the mark of its end a file goes on, if it does."""
    position = file.tell()
    while chunk := file.read(_CHUNK):
        if rest := chunk.lstrip(b"\0"):
            return (position + len(chunk) - len(rest)) // _BLOCK * _BLOCK
        position += len(chunk)
    return None


def contents(file: IO[bytes], member: Member) -> bytes:
    """What a small member holds.

    Raises:
        InputError: where the tar ends before it does.
    """
    file.seek(member.start)
    stored = file.read(member.size)
    if len(stored) < member.size:
        raise InputError(f"{member.name} is cut short")
    return stored
