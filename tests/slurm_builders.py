"""A Slurm of one machine for tests: sbatch runs what it is given at once, and the others know what became of it."""

import os
import sys
from pathlib import Path

import pytest

PROGRAM = r"""#!{python}
import json, os, re, subprocess, sys
from pathlib import Path

HOME = Path({home!r})
STATES = {{0: "COMPLETED"}}


def jobs():
    return json.loads((HOME / "jobs.json").read_text()) if (HOME / "jobs.json").exists() else {{}}


def keep(known):
    (HOME / "jobs.json").write_text(json.dumps(known))


def sbatch(arguments):
    script = Path(arguments[-1])
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", script.read_text(), re.MULTILINE))
    options |= dict(each[2:].partition("=")[::2] for each in arguments[:-1])
    if "nonsense" in options:
        sys.exit("sbatch: error: Batch job submission failed: Invalid qos specification")
    known = jobs()
    number = str(41 + len({{task.partition("_")[0] for task in known}}))
    if kind := options.get("dependency"):
        how, _, other = kind.partition(":")
        states = [state for task, state in known.items() if task.partition("_")[0] == other]
        assert states and (how == "afterany" or set(states) == {{"COMPLETED"}}), (kind, known)
    first, last = map(int, options["array"].split("-")) if "array" in options else (0, 0)
    for task in range(first, last + 1):
        name = f"{{number}}_{{task}}" if "array" in options else number
        # One of the tasks has the number of the whole array, which to scontrol is the array.
        numbers = {{"SLURM_JOB_ID": number, "SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}}
        environment = os.environ | numbers
        log = options["output"].replace("%A", number).replace("%a", str(task)).replace("%j", number)
        known[name] = "PENDING"
        while known[name] == "PENDING":  # again where it was put back into the queue
            keep(known | {{name: "RUNNING"}})
            with open(log, "a") as file:
                code = subprocess.run(["bash", script], env=environment, stdout=file, stderr=file).returncode
            known = jobs()
            if known[name] == "RUNNING":
                known[name] = STATES.get(code, "FAILED")
        keep(known)
    print(number)


def srun(arguments):
    while arguments[0].startswith("--"):
        arguments = arguments[1:]
    code = subprocess.run(arguments).returncode
    sys.exit(128 - code if code < 0 else code)


def scontrol(arguments):
    action, name = arguments
    assert action == "requeue"
    assert name in jobs(), f"{{name}}: all of the array"
    keep(jobs() | {{name: "PENDING"}})
    with open(HOME / "requeued", "a") as file:
        file.write(f"{{name}}\n")


def scancel(arguments):
    keep({{task: "CANCELLED by 0" if task in arguments else state for task, state in jobs().items()}})


def sacct(arguments):
    for task, state in jobs().items():
        print(f"{{task}}|{{state}}")


def squeue(arguments):
    for task, state in jobs().items():
        if state in ("PENDING", "RUNNING"):
            print(f"{{task}}|{{state}}|Priority")


globals()[Path(sys.argv[0]).name](sys.argv[1:])
"""


def install_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the programs in front of PATH."""
    folder.mkdir()
    for name in ("sbatch", "srun", "scontrol", "scancel", "sacct", "squeue"):
        (folder / name).write_text(PROGRAM.format(python=sys.executable, home=str(folder)))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
