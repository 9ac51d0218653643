"""`xcodec say`: text -> speech, through a language model that speaks a codec's codes."""

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xcodec.cli.console import errors, output, show_error, spoken_seconds
from xcodec.cli.convention_options import ConventionOptions
from xcodec.cli.failures import FAILED
from xcodec.cli.groups import with_groups
from xcodec.cli.interruption import Interruption
from xcodec.cli.options import Device, Dtype, Overwrite, Precision, Raw, Stream, check_stream, load_codec
from xcodec.cli.paths import home
from xcodec.cli.progress import ProgressBar
from xcodec.cli.suffixes import written_suffix
from xcodec.cli.values import not_empty, to_file
from xcodec.errors import InputError

if TYPE_CHECKING:
    from xcodec.audio.pipe import AudioPipe
    from xcodec.llasa import Convention, Llasa
    from xcodec.llasa.model import Speaking

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Say a text with a language model such as LLaSA.

The language model writes speech as codes, and the codec that it was trained with
makes them audible. A long text is said in parts, cut between sentences, and
comes out in one piece.

With --voice it is said in somebody's voice: a recording of some seconds, and the
text that is said in it. Without, the voice is the language model's choice, and
another one each time unless a --seed is given.

[bold]Examples[/bold]

  xcodec say "Hello there." --llm HKUSTAudio/Llasa-1B -o hello.wav
  xcodec say "Hello there." --llm HKUSTAudio/Llasa-1B -o hello.wav \\
    --voice ann.wav --voice-text "What Ann says in it."
  xcodec say "Hello there." --llm HKUSTAudio/Llasa-1B --stream | ffplay -
  xcodec say - --llm my-llm/ --model mini --seed 1 -o book.flac < book.txt"""

EPILOG = "[bold]Exit codes[/bold]  0: said. 1: not, or not to its end. 2: wrong usage. 130: interrupted."

CODEC = "HKUSTAudio/xcodec2-hf"


@dataclass(frozen=True)
class VoiceOptions:
    """Whose voice it is."""

    voice: Annotated[
        str | None, typer.Option("--voice", metavar="FILE", help="A recording of the voice.", callback=not_empty)
    ] = None
    voice_text: Annotated[
        str | None, typer.Option("--voice-text", metavar="TEXT", help="What is said in it.", callback=not_empty)
    ] = None

    def check(self) -> None:
        """Refuse half a voice.

        Raises:
            typer.BadParameter: says what to give.
        """
        if (self.voice is None) != (self.voice_text is None):
            raise typer.BadParameter(
                "a voice is a recording and its text; give both --voice and --voice-text, or neither"
            )


@dataclass(frozen=True)
class SamplingOptions:
    """How codes are drawn; what is not given is as the convention has it."""

    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0.0, help="0 takes the likeliest code always; else 0.8.")
    ] = None
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", min=0.0, max=1.0, help="Draw from the likeliest codes that reach this share; else 1."),
    ] = None
    top_k: Annotated[
        int | None, typer.Option("--top-k", min=0, help="Draw from so many of the likeliest; 0 is all; else 50.")
    ] = None
    repetition_penalty: Annotated[
        float | None,
        typer.Option("--repetition-penalty", help="Above 1, codes that were there become less likely; else 1."),
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="N", help="The same seed says it in the same way.")
    ] = None
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", metavar="SECONDS", help="Cut the speech there.")
    ] = None


@with_groups
def command(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="What to say; - reads it from standard input.", callback=not_empty)
    ],
    llm: Annotated[
        str,
        typer.Option(
            "--llm",
            metavar="LLM",
            help="The language model: a folder or a hub id.",
            show_default=False,
            callback=not_empty,
        ),
    ],
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write.", show_default=False, callback=to_file),
    ] = None,
    stream: Stream = False,
    raw: Raw = False,
    *,
    voice: VoiceOptions,
    asked: ConventionOptions,
    sampling: SamplingOptions,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help=f"The codec: a checkpoint folder, a hub id, or a built-in model; else what the language model's "
            f"config.json names as codec, or {CODEC}.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = Precision.FLOAT32,
    overwrite: Overwrite = False,
) -> None:
    """Say a text."""
    check_stream(file, stream, raw)
    voice.check()
    if file is not None:
        check_file(file, overwrite)
    from xcodec.audio.pipe import AudioPipe

    pipe = AudioPipe(raw) if stream else None
    text = sys.stdin.read() if text == "-" else text
    if not text.strip():
        raise InputError("the text is empty; there is nothing to say")
    llasa = load(llm, model, device, dtype, asked.read(), has_voice=voice.voice is not None)
    started = time.perf_counter()
    with told_if_cut() as cut:
        how: Any = {name: value for name, value in (asdict(voice) | asdict(sampling)).items() if value is not None}
        seconds = say(llasa, text, how, pipe, file)
    elapsed = spoken_seconds(time.perf_counter() - started)
    console, where = (output(), file) if pipe is None else (errors(), "standard output")
    console.print(f"Said {spoken_seconds(seconds)} in {elapsed}: {where}", soft_wrap=True, markup=False)
    if cut and sampling.max_seconds is None:
        show_error(cut[0])
        raise typer.Exit(FAILED)
    if cut:
        errors().print(cut[0], soft_wrap=True, markup=False)


def check_file(file: str, overwrite: bool) -> None:
    """See, before a language model is loaded, whether speech can be written.

    Raises:
        typer.BadParameter: where its suffix is that of no audio.
        InputError: where it exists already.
    """
    written_suffix(file)
    if home(file).exists() and not overwrite:
        raise InputError("exists already", subject=file, remedy="give --overwrite to replace it")


def say(llasa: "Llasa", text: str, how: "Speaking", pipe: "AudioPipe | None", file: str | None) -> float:
    """Say a text into a pipe or a file, and return how many seconds it took to hear."""
    with Interruption() as interruption, ProgressBar() as bar:
        progress = SpeechProgress(bar, interruption)
        if pipe is not None:
            for piece in llasa.stream(text, **how):
                pipe.write(piece)
                progress.said(piece.duration)
            return pipe.seconds
        assert file is not None
        audio = llasa.say(text, on_progress=progress.said, on_decoded=progress.decoded, **how)
        home(file).parent.mkdir(parents=True, exist_ok=True)
        audio.save(home(file))
        return audio.duration


def load(
    llm: str, model: str | None, device: str, dtype: Precision, convention: "Convention", has_voice: bool
) -> "Llasa":
    """Load the codec, whose encoder only a voice needs, and the language model."""
    if model is None:
        from xcodec.llasa.checkpoint import SpokenCodec

        model = SpokenCodec(llm).name or CODEC
    codec = load_codec(model, device, dtype, decoder_only=not has_voice)
    with errors().status(f"loading {llm}"):
        from xcodec.llasa import Llasa

        return Llasa.from_pretrained(llm, codec, device=device, convention=convention)


@contextmanager
def told_if_cut() -> Iterator[list[str]]:
    """Collect what is said about speech that was cut, instead of showing it as Python does."""
    from xcodec.llasa import SpeechCutWarning

    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SpeechCutWarning)
        yield told
    told += [str(warning.message) for warning in caught if issubclass(warning.category, SpeechCutWarning)]


class SpeechProgress:
    """The seconds of speech so far, said and decoded."""

    def __init__(self, bar: ProgressBar, interruption: Interruption) -> None:
        self._bar, self._interruption = bar, interruption
        self._said = self._decoded = 0.0
        self._show()

    def said(self, seconds: float) -> None:
        """Count speech whose codes are there."""
        self._said += seconds
        self._show()

    def decoded(self, seconds: float) -> None:
        """Count speech that can be heard."""
        self._decoded += seconds
        self._show()

    def _show(self) -> None:
        decoded = f", {spoken_seconds(self._decoded)} decoded" if self._decoded else ""
        self._bar.show(text=f"{spoken_seconds(self._said)} of speech{decoded}")
        self._interruption.check()
