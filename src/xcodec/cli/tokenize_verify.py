"""`xcodec tokenize verify`: whether an output is whole and right."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.console import errors, output, show_error
from xcodec.cli.failures import FAILED, explain
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import Bandwidth, CodecOptions, OutputFolder
from xcodec.cli.paths import place

if TYPE_CHECKING:
    from xcodec.tokenization.verification import Verification

__all__ = ["VERIFY_EPILOG", "VERIFY_HELP", "verify"]

VERIFY_HELP = """\
Read all of an output, and compare it with its plan and its recordings.

The plan is what plan.json says of it; every shard is there, readable to its last
byte, and holds the recordings that are planned in it, each id once, with its codes
or its reason; codes fit their codebooks and the length of the sound. A sample of
recordings is encoded again and compared code by code, with the codec that made
them; where they are away, their codes are decoded. Each fault is told with what to
do about it.

[bold]Examples[/bold]

  xcodec tokenize verify tokens/ -m HKUSTAudio/xcodec2-hf
  xcodec tokenize verify tokens/ --sample 0              no model is needed
  xcodec tokenize verify s3://bucket/tokens --sample 100 --seed 1"""

VERIFY_EPILOG = """\
[bold]Exit codes[/bold]  0: all is well. 1: something is not. 2: wrong usage. 130: interrupted."""


@with_groups
def verify(
    folder: OutputFolder,
    sample: Annotated[int, typer.Option("--sample", min=0, metavar="N", help="Recordings to encode again.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which recordings these are.")] = 0,
    differ: Annotated[
        float,
        typer.Option(
            "--differ",
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Of a recording's codes so many may differ: other devices, and half precision, round otherwise.",
        ),
    ] = 0.0,
    bandwidth: Bandwidth = None,
    *,
    codec: CodecOptions,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
) -> None:
    """Compare an output with its plan and its recordings."""
    from xcodec.errors import InputError
    from xcodec.tokenization.readers import ReaderPool, ReadingLimits
    from xcodec.tokenization.sample import check_same_codec, check_sample
    from xcodec.tokenization.tokens import Tokens
    from xcodec.tokenization.verification import verify as verified

    tokens = Tokens(place(folder))
    loaded = None
    if sample:
        loaded = codec.load()
        check_same_codec(tokens.plan, loaded, bandwidth)
    with Interruption() as interruption, errors().status("reading") as shown:

        def show(report: "Verification") -> None:
            shown.update(f"reading: {report.shards:,} of {tokens.plan.fingerprint.shards:,} shards")
            interruption.check()

        report = verified(tokens, show)
        if loaded is not None:
            shown.update("encoding a sample")
            with ReaderPool(1, loaded.sampling_rate, ReadingLimits(longest=float("inf"))) as pool:
                check_sample(tokens, loaded, pool, report, count=sample, seed=seed, bandwidth=bandwidth, differ=differ)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        for fault in report.faults:
            show_error(explain(InputError(fault.problem, subject=fault.subject, remedy=fault.remedy)))
        output().print(str(report), soft_wrap=True, markup=False)
    if report.faults:
        raise typer.Exit(FAILED)
