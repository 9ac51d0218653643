"""From what people name (files, folders, patterns) to pairs of a file to read and a file to write.

Each output goes below the folder OUT, in the place that its input has below the folder, or the fixed part of the
pattern, that was named; a file that was named itself goes straight into OUT.
"""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xcodec.errors import InputError

__all__ = [
    "CODES_SUFFIX",
    "Failure",
    "Found",
    "Job",
    "audio_name",
    "codes_name",
    "find_files",
    "home",
    "names_a_file",
    "plan",
]

CODES_SUFFIX = ".codes"


@dataclass(frozen=True)
class Found:
    """A file to read, and where it stands below what was named."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Job:
    """A file to read and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Failure:
    """What could not be done, a path or pattern, and why."""

    subject: str
    reason: str

    def __str__(self) -> str:
        return self.reason if self.reason.startswith(self.subject) else f"{self.subject}: {self.reason}"


def home(text: str) -> Path:
    """The path that someone named, with ~ understood where it stands for a home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user, so that ~name is a name
        return Path(text)


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
    inputs: Sequence[str], output: str, suffixes: Sequence[str], rename: Callable[[str], str], overwrite: bool
) -> tuple[list[Job], list[Failure]]:
    """Decide what is read and what is written, before anything is done.

    Args:
        inputs: files, folders and glob patterns.
        output: a folder, or a file where `names_a_file` says so.
        suffixes: of the files to look for in folders, in lower case.
        rename: from an input's file name to its output's.
        overwrite: whether outputs that exist are written again; if not, they are failures.

    Raises:
        InputError: where two inputs would be written to one file, or an output would replace an input.
    """
    folder = home(output)
    found, failures = find_files(inputs, suffixes, without=folder)
    if names_a_file(inputs, output):
        jobs = [Job(item.path, folder) for item in found]
    else:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{output} is a file; several outputs need a folder")
        jobs = [Job(item.path, folder / item.relative.with_name(rename(item.path.name))) for item in found]
    jobs = list(without_collisions(jobs))
    existing = {job.target for job in jobs if os.path.exists(job.target)}  # noqa: PTH110
    check_inputs_survive(jobs, existing)
    if not overwrite:
        failures += [Failure(str(path), "exists already; give --overwrite to replace it") for path in sorted(existing)]
        jobs = [job for job in jobs if job.target not in existing]
    return jobs, failures


def names_a_file(inputs: Sequence[str], output: str) -> bool:
    """Whether `output` is a file to write rather than a folder: for one input file, if it looks like one."""
    target = home(output)
    # os.path, since Path raises where a name is too long: here and below that is a failure of one file, and comes later
    if len(inputs) != 1 or not os.path.isfile(home(inputs[0])) or target.is_dir():  # noqa: PTH113
        return False
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return target.is_file() or (target.suffix != "" and not output.endswith(separators))


def find_files(
    inputs: Iterable[str], suffixes: Sequence[str], without: Path | None = None
) -> tuple[list[Found], list[Failure]]:
    """Find the files that `inputs` name, each once, in their order; within a folder, in order of name.

    Args:
        inputs: files, whatever their suffix; folders, which are searched to any depth for `suffixes`, without what is
            hidden; and patterns with *, ?, [] and **, for shells that leave them alone.
        suffixes: in lower case.
        without: a folder that is not searched, where it lies inside another.

    Returns:
        The files, and what was named but yields none.
    """
    found: dict[Found, None] = {}
    failures: list[Failure] = []
    for text in inputs:
        path = home(text)
        if os.path.isdir(path):  # noqa: PTH112
            files = list(walk(path, path, suffixes, without, failures))
            if not files:
                failures.append(Failure(text, f"no file ending in {', '.join(suffixes)} in this folder or below it"))
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


def why_not(path: Path) -> str:
    """Why there is nothing at a path."""
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a file where a folder should be, a folder that is closed
        return error.strerror or str(error)
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

    def unreadable(error: OSError) -> None:
        failures.append(Failure(str(error.filename), error.strerror or str(error)))

    seen = {os.path.realpath(top)}
    if without is not None:
        seen.add(os.path.realpath(without))
    for folder, folders, names in os.walk(top, followlinks=True, onerror=unreadable):
        fresh = []
        for name in sorted(folders):
            real = os.path.realpath(Path(folder, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                fresh.append(name)
        folders[:] = fresh
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                path = Path(folder, name)
                yield Found(path, path.relative_to(root))


def without_collisions(jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs, less those that say the same again; two different inputs of one output are an error."""
    sources: dict[Path, Path] = {}
    for job in jobs:
        other = sources.setdefault(job.target, job.source)
        if other is job.source:
            yield job
        elif os.path.realpath(other) != os.path.realpath(job.source):
            raise InputError(
                f"{other} and {job.source} would both be written to {job.target}; nothing was done. Give the folder "
                "above them, whose structure is kept, or write them to two folders"
            )


def check_inputs_survive(jobs: Iterable[Job], existing: set[Path]) -> None:
    """Refuse to write over what is read, --overwrite or not."""
    if not existing:
        return
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    for target in sorted(existing):
        if (source := sources.get(os.path.realpath(target))) is not None:
            raise InputError(
                f"{source} is an input and would be replaced; nothing was done. Give another output folder"
            )
