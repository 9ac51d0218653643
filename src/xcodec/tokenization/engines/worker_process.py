"""The program of a worker on this machine: `python -m xcodec.tokenization.engines.worker_process`.

One line comes in on standard input: the job, and which worker this is. It leaves when its input ends, whatever it is
doing, so that it never outlives whoever started it.
"""

import base64
import os
import pickle
import sys
import threading

from xcodec.errors import first_line
from xcodec.tokenization.engines.local import run_locally
from xcodec.tokenization.job import Job
from xcodec.tokenization.plan import Plan
from xcodec.tokenization.run import tokenize

__all__ = ["main"]


def main() -> None:
    """Take shards until none is left; what goes wrong is told in the last line of standard error."""
    line = bytearray()
    while not line.endswith(b"\n") and (more := os.read(0, 1 << 16)):  # no buffer: its lock would be held at the end
        line += more
    job, worker = pickle.loads(base64.b64decode(line))
    threading.Thread(target=leave_at_end_of_input, daemon=True).start()
    try:
        work(job, worker)
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {first_line(error)}")


def work(job: Job, worker: tuple[int, int]) -> None:
    """Load the codec and do shards of the plan."""
    import torch

    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))
    codec = job.model.load()
    plan = Plan(job.folder)
    plan.check_codec(plan.fingerprint.codec | vars(codec.codes_identity))
    tokenize(job, plan, codec, run_locally, "local", worker=worker)


def leave_at_end_of_input() -> None:
    """Wait for the end of standard input."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
