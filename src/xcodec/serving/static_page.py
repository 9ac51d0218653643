"""The page as files that any web server has, with exported codecs that run in the browser."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from xcodec.errors import InputError, first_line
from xcodec.files import folder_written_whole
from xcodec.runtime.manifest import DECODER, ENCODER, MANIFEST, Manifest
from xcodec.serving.page_files import INDEX, POLICY, page_files

__all__ = ["DESCRIPTION", "MODELS", "RUNTIME", "write_static_page"]

DESCRIPTION = "page.json"
MODELS = "models"
RUNTIME = "onnxruntime"

RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""Of the npm package onnxruntime-web, what runs a graph on the processor, and what does on the graphics."""


def write_static_page(
    folder: str | os.PathLike[str], models: Sequence[str | os.PathLike[str]], runtime: str | os.PathLike[str]
) -> dict[str, int]:
    """Write the page with codecs that it runs itself; the folder appears whole or not at all.

    Args:
        folder: where to; it is not there yet.
        models: folders that `xcodec export` wrote, each with both halves. Their last names tell them apart.
        runtime: the npm package onnxruntime-web: the archive that `npm pack onnxruntime-web` fetches, or its folder.

    Returns:
        The size in bytes of each file, by its path in the folder.

    Raises:
        CheckpointError: where a folder holds no exported codec.
        InputError: where the folder is there, an exported codec lacks a half or has weights in a file of their own, two
            have one name, or there is no onnxruntime-web.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists():
        raise InputError("is there already", subject=target, remedy="name a folder that is not, or remove it")
    named = {Path(model).absolute().name: Path(model) for model in models}
    if not named or len(named) < len(models):
        raise InputError(
            "expected one exported codec at least, and each with a last name of its own", argument="models"
        )
    for model in named.values():
        check_for_browsers(model)
    libraries = runtime_files(Path(runtime))
    target.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(target) as part:
        for name, body in page_files().items():
            path = part / INDEX if name == INDEX else part / "page" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(with_policy(body) if name == INDEX else body)
        (part / RUNTIME).mkdir()
        for name, body in libraries.items():
            (part / RUNTIME / name).write_bytes(body)
        for name, model in named.items():
            (part / MODELS / name).mkdir(parents=True)
            for file in (MANIFEST, ENCODER, DECODER):
                shutil.copyfile(model / file, part / MODELS / name / file)
        described = {"server": False, "browser": {"models": list(named)}}
        (part / DESCRIPTION).write_text(json.dumps(described) + "\n", encoding="utf-8")
    return {
        path.relative_to(target).as_posix(): path.stat().st_size for path in sorted(target.rglob("*")) if path.is_file()
    }


def with_policy(index: bytes) -> bytes:
    """Put the Content-Security-Policy into the page, since files have no headers."""
    mark = b'<meta charset="utf-8">'
    assert index.count(mark) == 1
    return index.replace(mark, mark + f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'.encode())


def check_for_browsers(model: Path) -> None:
    """Refuse what a browser cannot run.

    Raises:
        CheckpointError: where the folder holds no exported codec.
        InputError: where a half is not there, or has its weights in another file.
    """
    Manifest.read(model)
    for name in (ENCODER, DECODER):
        if not (model / name).is_file():
            raise InputError(f"there is no {name}", subject=model, remedy="export the model again, both halves of it")
        if (model / f"{name}.data").exists():
            raise InputError(f"the weights of {name} are too large for a browser", subject=model)


def runtime_files(package: Path) -> dict[str, bytes]:
    """Read what is needed of onnxruntime-web, by name.

    Raises:
        InputError: where it is not there.
    """
    remedy = "fetch it: npm pack onnxruntime-web"
    try:
        if package.is_dir():
            found = {name: (package / "dist" / name).read_bytes() for name in RUNTIME_FILES}
        else:
            with tarfile.open(fileobj=io.BytesIO(package.read_bytes()), mode="r:gz") as archive:
                found = {}
                for name in RUNTIME_FILES:
                    member = archive.extractfile(f"package/dist/{name}")
                    assert member is not None
                    found[name] = member.read()
    except (OSError, tarfile.TarError, KeyError, AssertionError) as error:
        raise InputError(
            f"is not the package onnxruntime-web of npm: {first_line(error)}", subject=package, remedy=remedy
        ) from error
    return found
