"""What the command line takes: the options of every command, its manual, and what is wrong usage."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from types import GenericAlias
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

from cli_builders import COMMANDS, SPEECH, run
from xcodec.audio import Audio
from xcodec.cli import values
from xcodec.cli.app import app
from xcodec.cli.groups import with_groups
from xcodec.codec import Codec
from xcodec.codes import Codes
from xcodec.conversion import convert_checkpoint, read_checkpoint
from xcodec.export import export_codec
from xcodec.llasa.model import Speaking

CODEC = "--model/-m --device --dtype"
RUN = "--overwrite --batch-seconds --max-memory --compile"
ENCODING = "--bandwidth/-b --segment-seconds --channel --longest --ignore-unreadable"
OPTIONS = {
    "encode": f"--output/-o {ENCODING} {CODEC} {RUN}",
    "decode": f"--output/-o --format --ignore-identity --bandwidth/-b --segment-seconds {CODEC} {RUN} --stream --raw",
    "reconstruct": f"--output/-o --format {ENCODING} {CODEC} {RUN}",
    "say": "--llm --output/-o --stream --raw --voice --voice-text --convention --language --temperature --top-p "
    f"--top-k --repetition-penalty --seed --max-seconds {CODEC} --overwrite",
    "detokenize": f"--output/-o --id --format --ignore-identity {CODEC} --overwrite --batch-seconds --compile",
    "train": "--data --output/-o --set --validation --minutes --threads --device --export --dtype",
    "evaluate": "--model/-m --reconstructions/-r --baseline --command --command-timeout --bandwidth/-b --json --html "
    "--examples --per-clip --transcripts --asr --language --speaker --utmos --without --match-level --workers --device "
    "--dtype --compile --overwrite --ignore-unreadable",
    "probe": "--data --probe --clips --transcripts --language --speakers --steps --json --html "
    "--device --dtype --compile --overwrite",
    "info": "--json",
    "convert": "--overwrite --config --num-semantic-layers --semantic-encoder --model-type --decoder --decodes "
    "--codes-per-second --num-attention-heads",
    "export": "--encoder --decoder --stream --format --dtype --opset --overwrite",
    "page": "--output/-o --onnxruntime",
    "tokenize run": "--output/-o --root --channel --verify --texts --quality --where --dedupe "
    "--segment-seconds --ignore-unreadable --engine --shard-hours --part "
    f"--worker --workers --plan-only --trial --retry-failed --bandwidth/-b {CODEC} --compile --batch-seconds --readers "
    "--file-seconds --longest --stall-minutes --log-format --metrics-file",
    "tokenize submit": "--output/-o --engine --workers --gpus --cpus --time --sbatch --sbatch-worker --image --logs "
    "--dry-run --root --channel --verify --texts --quality --where --dedupe --segment-seconds --ignore-unreadable "
    "--shard-hours --retry-failed --bandwidth/-b "
    f"{CODEC} --compile --batch-seconds --readers --file-seconds --longest --log-format --metrics-file",
    "tokenize status": "--json --check --ignore-unreadable",
    "tokenize verify": f"--sample --seed --differ --bandwidth/-b {CODEC} --json",
    "tokenize report": f"--output/-o --examples --seed {CODEC}",
    "tokenize export": "--to --output/-o --join --common --text --licence --push --llm --length --packed --voices",
    "llasa init": f"{CODEC} --set --seed",
    "llasa prepare": "--llm --text --length --val-every --cut --overwrite",
    "llasa train": "--output/-o --epochs --steps --batch-size --accumulate --learning-rate --warmup-steps "
    "--weight-decay --clip --seed --dtype --lora --lora-alpha --lora-tokens --checkpoint-minutes --validation-minutes "
    "--keep --log-steps --minutes --threads --device",
}
"""Of each command, in the order of its manual."""


def parameters(command: str) -> list[Any]:
    found: Any = get_command(app)
    for name in command.split():
        found = found.commands[name]
    return list(found.params)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["encode", SPEECH], "Missing option '--output'"),
        (["encode", "-o", "out"], "Missing argument 'INPUT'"),
        (["encode", SPEECH, "-o", "out", "--dtype", "int4"], "'float32', 'bfloat16', 'float16'"),
        (["encode", SPEECH, "-o", "out", "--batch-seconds", "0"], "should be greater than or equal to 1"),
        (["reconstruct", SPEECH, "-o", "out.m4a"], ".wav, .flac, .ogg, .opus, .mp3"),
        (["reconstruct", SPEECH, "-o", "out.wav", "--format", "flac"], "--format says flac"),
        (["recode", SPEECH], "No such command 'recode'"),
        (["encode", "", "-o", "out"], "Invalid value for 'INPUT': a name is empty; for the current folder give ."),
        (["decode", "a.codes", "", "-o", "out"], "'INPUT': a name is empty"),
        (["encode", SPEECH, "-o", ""], "'--output' / '-o': a name is empty"),
        (["reconstruct", SPEECH, "-o", "out", "-m", ""], "'--model' / '-m': a name is empty"),
        (["info", ""], "'PATH_OR_ID': a name is empty"),
        (["convert", "", "out"], "'SOURCE': a name is empty"),
        (["convert", "in", ""], "'DESTINATION': a name is empty"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_was_expected(arguments: list[object], reason: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert reason in " ".join(result.err.replace("│", " ").split())


def test_sizes_and_seconds_that_are_none_are_wrong_usage(model, tmp_path):
    for option, value, expected in [
        ("--max-memory", "lots", "'lots': expected a number of bytes"),
        ("--segment-seconds", "0.2", "should be greater than or equal to 1"),
    ]:
        result = run("encode", SPEECH, "-o", tmp_path, "-m", model, option, value)
        assert result.code == 2
        assert expected in " ".join(result.err.replace("\u2502", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_reads_like_a_manual(command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    text = " ".join(result.out.replace("│", " ").split())
    assert text.startswith(f"Usage: xcodec {command} [OPTIONS]") or f"{command} [OPTIONS]" in text
    for part in ("Examples", f" xcodec {command} ", "Exit codes", "130: interrupted"):
        assert part in text
    options = {
        "encode": "--batch-seconds",
        "decode": "--ignore-identity",
        "reconstruct": "--format",
        "say": "--voice-text",
    }
    assert options.get(command, "--") in text


def test_the_help_of_the_program_names_every_command() -> None:
    text = run("--help").out
    assert all(re.search(rf"^│ {command} ", text, re.MULTILINE) for command in COMMANDS)
    assert all(re.search(rf"^ +{code} ", text, re.MULTILINE) for code in (0, 1, 2, 130))


@pytest.mark.parametrize("command", OPTIONS)
def test_a_command_has_these_options(command: str) -> None:
    options = [each for each in parameters(command) if each.param_type_name == "option" and each.name != "help"]
    assert " ".join("/".join(sorted(each.opts, key=len, reverse=True)) for each in options) == OPTIONS[command]


@pytest.mark.parametrize(
    ("command", "function", "names"),
    [
        ("encode", Codec.encode, {"bandwidth", "segment_seconds", "batch_seconds"}),
        ("encode", Codec.from_pretrained, {"device", "dtype", "max_memory"}),
        ("encode", Audio.read, {"channel", "longest"}),
        ("decode", Codec.decode, {"check_identity", "batch_seconds"}),
        ("decode", Codes.at_bandwidth, {"bandwidth"}),
        ("detokenize", Codec.decode, {"check_identity", "batch_seconds"}),
        ("say", Speaking, {"temperature", "top_p", "top_k", "repetition_penalty", "max_seconds"}),
        ("convert", convert_checkpoint, {"overwrite"}),
        ("export", export_codec, {"encoder", "decoder", "stream", "format", "dtype", "opset", "overwrite"}),
        (
            "convert",
            read_checkpoint,
            {
                "config",
                "num_semantic_layers",
                "semantic_encoder",
                "model_type",
                "codes_per_second",
                "num_attention_heads",
            },
        ),
    ],
)
def test_a_parameter_is_called_as_the_argument_that_errors_name(
    command: str, function: Callable[..., object], names: set[str]
) -> None:
    assert names <= {each.name for each in parameters(command)}
    assert names <= set(function.__annotations__ if function is Speaking else signature(function).parameters)


def test_a_group_of_options_is_an_option_for_each_field() -> None:
    @dataclass(frozen=True)
    class Size:
        width: Annotated[int, typer.Option("--width", "-w")] = 3
        deep: Annotated[bool, typer.Option("--deep")] = False

    taken: list[object] = []

    @with_groups
    def command(name: Annotated[str, typer.Argument()], size: Size, last: Annotated[int, typer.Option()] = 0) -> None:
        """Take a size."""
        taken.extend((name, size, last))

    command(name="box", width=4, deep=True, last=1)
    assert taken == ["box", Size(4, True), 1]
    assert list(signature(command).parameters) == ["name", "width", "deep", "last"]
    assert command.__doc__ == "Take a size."


def test_checks_of_values_are_annotated_so_that_typer_reads_them_on_python_3_10() -> None:
    """There `list[str]` passes for a type and is none, and the program did not start."""
    checks = [getattr(values, name) for name in values.__all__]
    annotations = [parameter.annotation for check in checks for parameter in signature(check).parameters.values()]
    assert annotations
    assert not any(isinstance(annotation, GenericAlias) for annotation in annotations)
