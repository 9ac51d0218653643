"""The program of a reader process: entries come in on standard input, samples go out on standard output.

A decoder that crashes or hangs takes down this process only. It leaves when its input ends, also in the middle of a
file, so that it never outlives whoever started it.
"""

import json
import os
import queue
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from xcodec.errors import XcodecError
from xcodec.tokenization.sound import SoundReader, as_bytes

__all__ = ["main"]


def main() -> None:
    """Answer requests until there are no more: `python -m xcodec.tokenization.reader_process RATE LONGEST FOLDER`.

    A request is a line of JSON, a row of the plan. The answer is a line of JSON: `samples` and `source_rate`, after
    which come so many float32 samples; or `error` and no samples.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder prints must not get between the samples
    rate, longest, temporary = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(requests, temporary), daemon=True).start()
    reader = SoundReader(rate, longest, temporary)
    while request := requests.get():
        header: dict[str, Any]
        samples = memoryview(b"")
        try:
            audio, source_rate = reader.read(json.loads(request))
            header, samples = {"samples": audio.num_samples, "source_rate": source_rate}, as_bytes(audio)
        except XcodecError as error:
            header = {"error": str(error)}
        except Exception as error:  # whatever it is, it is about this file
            header = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(header).encode() + b"\n")
        answers.write(samples)
        answers.flush()


def listen(requests: "queue.SimpleQueue[str]", temporary: Path) -> None:
    """Pass requests on; where they end, leave at once, whatever the decoder is doing."""
    for line in sys.stdin:
        requests.put(line)
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
