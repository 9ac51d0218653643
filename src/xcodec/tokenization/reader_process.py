"""The program of a reader process: entries come in on standard input, samples go out on standard output.

A decoder that crashes or hangs takes down this process only. It leaves when its input ends, also in the middle of a
file, so that it never outlives whoever started it.
"""

import json
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xcodec.errors import XcodecError
from xcodec.tokenization.pieces import Inspection
from xcodec.tokenization.sound import SoundReader, as_bytes

__all__ = ["main"]


def main() -> None:
    """Answer requests until there are no more: `python -m xcodec.tokenization.reader_process RATE LONGEST FOLDER LOOK`.

    LOOK is what to find out, the fields of an `Inspection`. A request is a line of JSON: `entries`, rows of the plan
    that are spans of one file, or `channels`, one row. The answer to each row is a line of JSON: `samples`,
    `source_rate` and `pieces`, after which come so many float32 samples; or how many `channels` there are; or the
    fields of an `error`.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is for who started this, which ends it by ending its input
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not get between the samples
    rate, longest, temporary = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    inspection = Inspection(**json.loads(sys.argv[4]))
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(requests, temporary), daemon=True).start()
    reader = SoundReader(rate, longest, temporary)
    while request := requests.get():
        for header, samples in answered(reader, inspection, json.loads(request)):
            answers.write(json.dumps(header).encode() + b"\n")
            answers.write(samples)
            answers.flush()


def answered(
    reader: SoundReader, inspection: Inspection, request: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], memoryview]]:
    """The answers to a request, each with the samples that follow it."""
    nothing = memoryview(b"")
    left = len(request.get("entries", [None]))
    try:
        if "channels" in request:
            yield {"channels": reader.channels(request["channels"])}, nothing
            return
        for sound in reader.read(request["entries"]):
            left -= 1
            if isinstance(sound, XcodecError):
                yield {"error": sound.fields()}, nothing
            else:
                audio, source_rate = sound
                pieces = [each.fields() for each in inspection.pieces(audio.samples[0], audio.sampling_rate)]
                told = {"samples": audio.num_samples, "source_rate": source_rate, "pieces": pieces}
                yield told, as_bytes(audio)
    except Exception as error:  # whatever it is, it is about this file
        said = error.fields() if isinstance(error, XcodecError) else {"problem": f"{type(error).__name__}: {error}"}
        for _ in range(left):
            yield {"error": said}, nothing


def listen(requests: "queue.SimpleQueue[str]", temporary: Path) -> None:
    """Pass requests on; where they end, leave at once, whatever the decoder is doing."""
    for line in sys.stdin:
        requests.put(line)
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
