"""Slurm: a plan job, an array of workers and a check job, submitted together, and what became of them."""

import json
import shlex
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xcodec.errors import XcodecError
from xcodec.tokenization.stores import Store

__all__ = ["SlurmError", "SlurmJob", "SlurmPlan", "SlurmRun"]

TERMINATED = 143
"""The exit code of a run that SIGTERM ended, which is to go on."""

_RECORD = "slurm.json"
_PATIENCE = 60.0  # seconds that squeue and sacct may take
_ARRAY_MARK = "$SLURM_ARRAY_TASK_ID"


class SlurmError(XcodecError, RuntimeError):
    """Slurm does not take what was submitted."""


@dataclass(frozen=True)
class SlurmPlan:
    """What is submitted.

    Args:
        program: the words in front of each command, such as the path of a Python, or `apptainer exec IMAGE xcodec`.
        plan: the words of the command that plans; None where that is done.
        work: the words of a worker's command, without which worker it is.
        check: the words of the command that looks at the result.
        workers: how many.
        logs: the folder of the scripts and of what they say.
        lines: further options of sbatch, for all jobs.
        worker_lines: likewise, for workers alone.
        metrics_file: of the workers, each of which puts its number in front of the suffix.
    """

    program: Sequence[str]
    plan: Sequence[str] | None
    work: Sequence[str]
    check: Sequence[str]
    workers: int
    logs: Path
    lines: Sequence[str] = ()
    worker_lines: Sequence[str] = ()
    metrics_file: Path | None = None

    def scripts(self) -> dict[str, str]:
        """The scripts by what they do, in the order in which they are submitted."""
        scripts = {}
        if self.plan is not None:
            scripts["plan"] = self._script("plan", [], f"exec {self._command(self.plan)}\n")
        numbered = [f"--array=1-{self.workers}", "--requeue", "--open-mode=append", "--signal=TERM@60"]
        metrics = ""
        if self.metrics_file is not None:
            stem, suffix = self.metrics_file.with_suffix(""), self.metrics_file.suffix
            metrics = f' --metrics-file {shlex.quote(str(stem))}-"{_ARRAY_MARK}"{suffix}'
        command = f'{self._command(self.work)} --worker "{_ARRAY_MARK}/{self.workers}"{metrics}'
        scripts["workers"] = self._script(
            "worker",
            [*numbered, *self.worker_lines],
            "# The signal that comes a minute before the end of the time goes to what srun runs. The worker lets its\n"
            "# shard go, and this task is put back into the queue.\n"
            f'srun --cpus-per-task="${{SLURM_CPUS_PER_TASK:-1}}" {command}\n'
            "code=$?\n"
            f'if [ "$code" -eq {TERMINATED} ]; then\n'  # by this name: SLURM_JOB_ID of one of them is the whole array
            '  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"\n'
            "fi\n"
            'exit "$code"\n',
        )
        scripts["check"] = self._script("check", [], f"exec {self._command(self.check)}\n")
        return scripts

    def submit(self, store: Store) -> "SlurmRun":
        """Write the scripts, hand them to sbatch, and remember the numbers of the jobs in the output.

        Args:
            store: of the output, which is there.

        Raises:
            SlurmError: where sbatch is not here, or refuses; jobs that were submitted before are cancelled.
        """
        sbatch = shutil.which("sbatch")
        if sbatch is None:
            raise SlurmError(
                "there is no sbatch on the PATH", remedy="submit where Slurm's programs are, or give --dry-run"
            )
        self.logs.mkdir(parents=True, exist_ok=True)
        ids: dict[str, str] = {}
        for name, script in self.scripts().items():
            path = self.logs / f"{name}.sh"
            path.write_text(script)
            done = subprocess.run(
                [sbatch, "--parsable", *_dependency(name, ids), str(path)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                for job in ids.values():
                    subprocess.run(["scancel", job], capture_output=True, check=False)
                said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
                raise SlurmError(
                    f"sbatch refuses the {name} job: {said}",
                    subject=path,
                    remedy="mend its options with --sbatch; an array holds as many workers as MaxArraySize allows, "
                    "and fewer do as well, since they take shards until none is left",
                )
            ids[name] = done.stdout.strip().partition(";")[0]
        with store.writing(_RECORD) as part:
            part.write_text(json.dumps({"jobs": ids, "workers": self.workers, "logs": str(self.logs)}, indent=1) + "\n")
        return SlurmRun(ids, self.workers, str(self.logs))

    def _command(self, words: Sequence[str]) -> str:
        return shlex.join([*self.program, *words])

    def _script(self, job: str, lines: Sequence[str], body: str) -> str:
        log = self.logs / ("worker-%A_%a.log" if job == "worker" else f"{job}-%j.log")
        lines = [f"--job-name=xcodec-{job}", f"--output={log}", *self.lines, *lines]
        return "#!/bin/bash\n" + "".join(f"#SBATCH {line}\n" for line in lines) + "\n" + body


def _dependency(name: str, ids: Mapping[str, str]) -> list[str]:
    """What a job waits for."""
    if name == "workers" and "plan" in ids:
        return [f"--dependency=afterok:{ids['plan']}", "--kill-on-invalid-dep=yes"]
    return [f"--dependency=afterany:{ids['workers']}"] if name == "check" else []


@dataclass(frozen=True)
class SlurmJob:
    """What Slurm says of a job.

    Args:
        name: "plan", "workers" or "check".
        id: its number.
        states: how many of its tasks are in which state, as Slurm calls them, such as RUNNING.
        reason: why those wait that do, if any.
    """

    name: str
    id: str
    states: Mapping[str, int]
    reason: str = ""

    @property
    def told(self) -> str:
        """The states in one line."""
        counted = ", ".join(f"{count} {state.lower()}" for state, count in sorted(self.states.items()))
        return counted + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class SlurmRun:
    """What was submitted for an output.

    Args:
        ids: the numbers of the jobs, by name.
        workers: how many.
        logs: the folder of the logs.
    """

    ids: Mapping[str, str]
    workers: int
    logs: str

    @classmethod
    def of(cls, store: Store) -> "SlurmRun | None":
        """What was submitted last for an output; None where nothing was."""
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            stored = json.loads(store.read(_RECORD))
            return cls(stored["jobs"], stored["workers"], stored["logs"])
        return None

    def jobs(self) -> list[SlurmJob]:
        """What squeue and sacct say of the jobs, as far as they are here; what squeue says is newer."""
        listed = ",".join(self.ids.values())
        states, reasons = dict[str, str](), dict[str, str]()
        for line in _said("sacct", "--noheader", "--parsable2", "--array", "-X", "--format=JobID,State", "-j", listed):
            task, _, state = line.partition("|")
            states[task] = state.partition(" ")[0]  # of "CANCELLED by 1000"
        for line in _said("squeue", "--noheader", "--array", "--format=%i|%T|%r", "--states=all", f"--jobs={listed}"):
            task, state, reason = line.split("|", 2)
            states[task] = state
            reasons[task] = reason if state == "PENDING" else ""
        found = []
        for name, number in self.ids.items():
            tasks = [task for task in states if task.partition("_")[0] == number]
            why = next((reasons[task] for task in tasks if reasons.get(task, "None") not in ("", "None")), "")
            if tasks:
                found.append(SlurmJob(name, number, dict(Counter(states[task] for task in tasks)), why))
        return found


def _said(*command: str) -> list[str]:
    """The lines that a program of Slurm's says; none where it is not here, or does not know."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        return [line for line in done.stdout.splitlines() if "|" in line]
    return []
