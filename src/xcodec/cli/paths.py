"""From what people name (files, folders, patterns) to pairs of a file to read and a file to write.

Each output goes below the folder OUT, in the place that its input has below the folder, or the fixed part of the
pattern, that was named; a file that was named itself goes straight into OUT.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xcodec.cli.failures import Failure
from xcodec.cli.places import STANDARD, Source, StandardInput, StandardOutput, Target, is_remote
from xcodec.errors import InputError, XcodecError, first_line

__all__ = [
    "CODES_SUFFIX",
    "Found",
    "Job",
    "audio_name",
    "codes_name",
    "find_files",
    "home",
    "names_a_file",
    "place",
    "plan",
]

CODES_SUFFIX = ".codes"
SHOWN_SUFFIXES = 3


@dataclass(frozen=True)
class Found:
    """Something to read, and where it stands below what was named."""

    source: Source
    relative: Path


@dataclass(frozen=True)
class Job:
    """What to read and what to write.

    Args:
        source: a file, a URL or standard input.
        target: a file or standard output.
        channel: of the recording, counted from 0, where each has an output of its own.
    """

    source: Source
    target: Target
    channel: int | None = None


def home(text: str) -> Path:
    """The path that someone named, with ~ understood where it stands for a home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user, so that ~name is a name
        return Path(text)


def place(text: str) -> Path | str:
    """Return what someone named an output: a path that holds whatever folder one is in, or a URL."""
    return text if is_remote(text) else home(text).absolute()


def codes_name(name: str) -> str:
    """Name the codes of a recording: a.wav -> a.wav.codes, so that a.wav and a.flac never meet."""
    return name + CODES_SUFFIX


def audio_name(name: str, suffix: str) -> str:
    """Name the audio that is made of codes or of a recording.

    For ".wav": a.wav.codes, a.codes, a.wav -> a.wav; a.flac.codes, a.flac -> a.flac.wav.
    """
    stem = name.removesuffix(CODES_SUFFIX)
    return stem if stem.lower().endswith(suffix) else stem + suffix


def plan(
    inputs: Sequence[str],
    output: str,
    suffixes: Sequence[str],
    rename: Callable[[str], str],
    overwrite: bool,
    count_channels: Callable[[Source], int] | None = None,
) -> tuple[list[Job], list[Failure]]:
    """Decide what is read and what is written, before anything is done.

    Args:
        inputs: files, folders, glob patterns and URLs; or - alone for standard input.
        output: a folder; a file where `names_a_file` says so; or - for standard output.
        suffixes: of the files to look for in folders, in lower case.
        rename: from an input's file name to its output's.
        overwrite: whether outputs that exist are written again; if not, they are failures.
        count_channels: of an input; where given, each channel has an output of its own, a.wav.ch0 and so on.

    Raises:
        InputError: where two inputs would be written to one file, an output would replace an input, or there are
            several outputs and no folder for them.
    """
    folder = home(output)
    single = output == STANDARD or names_a_file(inputs, output)
    check_standard_input(inputs, single)
    if single and count_channels is not None:
        raise InputError(f"each channel has an output of its own, so {output} cannot be one", remedy="give a folder")
    found, failures = find_files(inputs, suffixes, without=folder)
    if output == STANDARD:
        if len(found) > 1:
            raise InputError(
                f"{len(found)} outputs cannot share standard output", remedy="give one input, or a folder (-o)"
            )
        jobs = [Job(item.source, StandardOutput(Path(rename(item.relative.name)).suffix)) for item in found]
    elif single:
        jobs = [Job(item.source, folder) for item in found]
    else:
        if folder.exists() and not folder.is_dir():
            raise InputError("is a file; several outputs need a folder", subject=output)
        jobs = [job for item in found for job in jobs_of(item, folder, rename, count_channels, failures)]
    jobs = list(without_collisions(jobs))
    targets = [job.target for job in jobs if isinstance(job.target, Path)]
    existing = {target for target in targets if os.path.exists(target)}  # noqa: PTH110
    check_inputs_survive(jobs, existing)
    if not overwrite:
        failures += [Failure(str(path), "exists already; give --overwrite to replace it") for path in sorted(existing)]
        jobs = [job for job in jobs if job.target not in existing]
    return jobs, failures


def jobs_of(
    item: Found,
    folder: Path,
    rename: Callable[[str], str],
    count_channels: Callable[[Source], int] | None,
    failures: list[Failure],
) -> Iterator[Job]:
    """What is made of one input below a folder."""
    name = item.relative.name
    if count_channels is None:
        yield Job(item.source, folder / item.relative.with_name(rename(name)))
        return
    try:
        num_channels = count_channels(item.source)
    except XcodecError as error:
        failures.append(Failure.of(item.source, error))
        return
    for channel in range(num_channels):
        yield Job(item.source, folder / item.relative.with_name(rename(f"{name}.ch{channel}")), channel)


def check_standard_input(inputs: Sequence[str], single: bool) -> None:
    """Refuse standard input beside others, or without a name for what is made of it.

    Raises:
        InputError: says what to give.
    """
    if STANDARD not in inputs:
        return
    if len(inputs) > 1:
        raise InputError("- is standard input, and is read alone; a file that is called so is ./-")
    if not single:
        raise InputError("standard input has no name to make one of", remedy="give -o the name of a file, or -")


def names_a_file(inputs: Sequence[str], output: str) -> bool:
    """Whether `output` is a file to write rather than a folder: for one input file, if it looks like one."""
    target = home(output)
    separators = tuple(filter(None, (os.sep, os.altsep)))
    # os.path, since Path raises where a name is too long: here and below that is a failure of one file, and comes later
    if len(inputs) != 1 or os.path.isdir(target) or output.endswith(separators):  # noqa: PTH112
        return False
    if inputs[0] == STANDARD:
        return True
    if is_remote(inputs[0]):
        is_file = Path(inputs[0]).suffix != "" and not glob.has_magic(inputs[0].partition("?")[0])
    else:
        is_file = os.path.isfile(home(inputs[0]))  # noqa: PTH113
    return is_file and (os.path.isfile(target) or target.suffix != "")  # noqa: PTH113


def find_files(
    inputs: Iterable[str], suffixes: Sequence[str], without: Path | None = None
) -> tuple[list[Found], list[Failure]]:
    """Find the files that `inputs` name, each once, in their order; within a folder, in order of name.

    Args:
        inputs: files, whatever their suffix; folders, which are searched to any depth for `suffixes`, without what is
            hidden; patterns with *, ?, [] and **, for shells that leave them alone; URLs of any of these; and -.
        suffixes: in lower case.
        without: a folder that is not searched, where it lies inside another.

    Returns:
        The files, and what was named but yields none.
    """
    found: dict[Found, None] = {}
    failures: list[Failure] = []
    for text in inputs:
        path = home(text)
        if text == STANDARD:
            files = [Found(StandardInput(), Path("standard-input"))]
        elif is_remote(text):
            files = remote_files(text, suffixes, failures)
        elif os.path.isdir(path):  # noqa: PTH112
            files = list(walk(path, path, suffixes, without, failures))
            if not files:
                failures.append(Failure(text, nothing_found(suffixes)))
        elif os.path.lexists(path):
            files = [Found(path, Path(path.name))]
        elif glob.has_magic(text):
            files = list(match(str(path), suffixes, without, failures))
            if not files:
                failures.append(Failure(text, "no file matches this pattern"))
        else:
            files = []
            failures.append(Failure(text, why_not(path)))
        found |= dict.fromkeys(files)
    return list(found), failures


def nothing_found(suffixes: Sequence[str]) -> str:
    """Say that a folder holds nothing that ends in one of `suffixes`."""
    named, more = ", ".join(suffixes[:SHOWN_SUFFIXES]), len(suffixes) - SHOWN_SUFFIXES
    others = f" or {more} other suffixes" if more > 0 else ""
    return f"no file ending in {named}{others} in this folder or below it"


def remote_files(text: str, suffixes: Sequence[str], failures: list[Failure]) -> list[Found]:
    """The files that a URL names: itself, what it matches as a pattern, or what the folder holds."""
    from xcodec.location import Location

    try:
        place = Location.of(text)
        if glob.has_magic(place.path.partition("?")[0]):  # behind a question mark, a web address has its query
            fixed = place.path[: min(place.path.find(sign) for sign in "*?[" if sign in place.path)]
            root = fixed.rpartition("/")[0]
            files = [file for file in place.matches() if not file.is_folder()]
        elif Path(place.name).suffix or not place.is_folder():
            return [Found(place, Path(place.name.partition("?")[0]))]
        else:
            root, endings = place.path.rstrip("/"), tuple(suffixes)
            inside = list(place.files(lambda name: name.lower().endswith(endings)))
            failures += [Failure(str(each.place), each.refused) for each in inside if each.refused]
            files = [each.place for each in inside if not each.refused]
    except XcodecError as error:
        failures.append(Failure.of(text, error))
        return []
    if not files:
        failures.append(Failure(text, nothing_found(suffixes)))
    return [Found(file, Path(file.path.removeprefix(f"{root}/"))) for file in files]


def why_not(path: Path) -> str:
    """Why there is nothing at a path."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a file where a folder should be, a folder that is closed
        return first_line(error)
    return "no such file or folder"


def match(pattern: str, suffixes: Sequence[str], without: Path | None, failures: list[Failure]) -> Iterator[Found]:
    """The files that a glob pattern matches, and those in the folders that it matches."""
    fixed: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    root = Path(*fixed)
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute patterns)
    for path in map(Path, matches):
        if path.is_dir():
            yield from walk(path, root, suffixes, without, failures)
        else:
            relative = path.relative_to(root)
            yield Found(path, Path(path.name) if ".." in relative.parts else relative)


def walk(
    top: Path, root: Path, suffixes: Sequence[str], without: Path | None, failures: list[Failure]
) -> Iterator[Found]:
    """The files below `top` that end in one of `suffixes`, relative to `root`. Links to folders are followed, once."""
    from xcodec.audio.media import media_files

    def unreadable(error: OSError) -> None:
        failures.append(Failure(str(error.filename), first_line(error)))

    excluded = () if without is None else (without,)
    for path in media_files(top, suffixes=suffixes, without=excluded, on_error=unreadable):
        yield Found(path, path.relative_to(root))


def without_collisions(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs, less those that say the same again; two different inputs of one output are an error."""
    first: dict[Target, Job] = {}
    for job in jobs:
        other = first.setdefault(job.target, job)
        if other is job:
            yield job
        elif (real(other.source), other.channel) != (real(job.source), job.channel):
            raise InputError(
                f"{other.source} and {job.source} would both be written to {job.target}; nothing was done. Give the "
                "folder above them, whose structure is kept, or write them to two folders"
            )


def real(source: Source) -> str:
    """What a source is called without links."""
    return os.path.realpath(source) if isinstance(source, Path) else str(source)


def check_inputs_survive(jobs: Iterable[Job], existing: set[Path]) -> None:
    """Refuse to write over what is read, --overwrite or not."""
    if not existing:
        return
    sources = {real(job.source): job.source for job in jobs if isinstance(job.source, Path)}
    for target in sorted(existing):
        if (source := sources.get(os.path.realpath(target))) is not None:
            raise InputError(
                "is an input and would be replaced; nothing was done. Give another output folder", subject=source
            )
