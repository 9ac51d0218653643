"""`xcodec tokenize export`: a finished output in another form."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.console import errors, output, show_error
from xcodec.cli.failures import FAILED
from xcodec.cli.groups import with_groups
from xcodec.cli.options import OutputFolder
from xcodec.cli.paths import home, place
from xcodec.cli.values import to_file

if TYPE_CHECKING:
    from xcodec.tokenization.exports import ExportReport
    from xcodec.tokenization.tokens import Tokens

__all__ = ["EXPORT_HELP", "export"]

EXPORT_HELP = """\
Write the codes of a finished output in another form.

  npy          OUT's ids as a tree of .npy files, shape (T,) or (K, T)
  webdataset   one tar for each shard: NUMBER.npy and NUMBER.json
  jsonl        codes.jsonl, an object for each recording
  hf           Parquet files and a card for the Hugging Face Hub
  lhotse       cuts.jsonl.gz, and an .npy file for each cut
  omnivoice    the shards that OmniVoice's training reads, and their data.lst
  llasa        examples for LLaSA and its relatives, as a data set on disk

`xcodec llasa prepare` makes the memory maps that LLaSA's own scripts read.
With --join, npy, webdataset, jsonl, hf and lhotse hold the codes of several
codecs: what differs between the outputs is an error, or left out with --common.

[bold]Examples[/bold]

  xcodec tokenize export tokens/ --to npy -o arrays/
  xcodec tokenize export tokens/ --to hf -o card/ --licence cc-by-4.0 --push ann/codes
  xcodec tokenize export tokens/ --to jsonl -o both/ --join semantic=other-tokens/
  xcodec tokenize export tokens/ --to llasa -o rows/ --llm my-llm/ --packed --voices speaker"""


class Form(str, Enum):
    """What codes are exported as."""

    NPY = "npy"
    WEBDATASET = "webdataset"
    JSONL = "jsonl"
    HF = "hf"
    LHOTSE = "lhotse"
    OMNIVOICE = "omnivoice"
    LLASA = "llasa"


_OF_ONE_CODEC = (Form.OMNIVOICE, Form.LLASA)


@dataclass(frozen=True)
class JoinOptions:
    """Other outputs whose codes come along."""

    join: Annotated[
        list[str] | None,
        typer.Option("--join", metavar="NAME=OUT", help="Codes of another output too, by name; may be repeated."),
    ] = None
    common: Annotated[bool, typer.Option("--common", help="With --join: leave out, and count, what not all have.")] = (
        False
    )

    def open(self, folder: str) -> "Tokens":
        """Return the output, with what is joined to it.

        Raises:
            typer.BadParameter: where it is not said what is joined, or under which name.
        """
        from xcodec.tokenization.joined import JoinedTokens
        from xcodec.tokenization.tokens import Tokens

        if not self.join:
            if self.common:
                raise typer.BadParameter("--common is for --join")
            return Tokens(place(folder))
        others = [each.partition("=") for each in self.join]
        if any(not name or not other for name, _, other in others) or len({name for name, *_ in others}) < len(others):
            raise typer.BadParameter("--join: expected NAME=OUT, each name once")
        return JoinedTokens(place(folder), {name: place(other) for name, _, other in others}, self.common)


@dataclass(frozen=True)
class FormOptions:
    """What single forms are told."""

    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="omnivoice, llasa: the column of texts.")] = (
        "text"
    )
    licence: Annotated[
        str, typer.Option("--licence", metavar="NAME", help="hf: as the Hub calls it, such as cc-by-4.0.")
    ] = "unknown"
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="REPO", help="hf: upload it as this data set; a new one is private."),
    ] = None
    llm: Annotated[
        str | None, typer.Option("--llm", metavar="LLM", help="llasa: the language model, a folder or a hub id.")
    ] = None
    length: Annotated[int, typer.Option("--length", min=8, metavar="IDS", help="llasa: ids in a row at most.")] = 2048
    packed: Annotated[bool, typer.Option("--packed", help="llasa: fill rows with several examples.")] = False
    voices: Annotated[
        str | None,
        typer.Option(
            "--voices", metavar="COLUMN", help="llasa: ask in the voice of the recording before of the same speaker."
        ),
    ] = None

    def check(self, form: Form) -> None:
        """Refuse options that have no effect.

        Raises:
            typer.BadParameter: names them.
        """
        given = {
            Form.HF: {"--licence": self.licence != "unknown", "--push": self.push},
            Form.LLASA: {"--llm": self.llm, "--packed": self.packed, "--voices": self.voices},
        }
        for owner, options in given.items():
            for name, value in options.items():
                if value and form is not owner:
                    raise typer.BadParameter(f"{name} is for --to {owner.value}")
        if form is Form.LLASA and self.llm is None:
            raise typer.BadParameter("--to llasa needs --llm, whose ids the rows hold")


@with_groups
def export(
    folder: OutputFolder,
    form: Annotated[Form, typer.Option("--to", help="What to write.", show_default=False)],
    destination: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.", callback=to_file),
    ],
    *,
    joining: JoinOptions,
    options: FormOptions,
) -> None:
    """Write the codes of a finished output in another form."""
    options.check(form)
    if joining.join and form in _OF_ONE_CODEC:
        raise typer.BadParameter(f"--join: {form.value} holds the codes of one codec")
    tokens = joining.open(folder)
    with errors().status("exporting"):
        report = exported(tokens, form, home(destination), options)
    for failure in report.failures:
        show_error(f"{failure.id}: {failure.error}")
    output().print(f"Exported to {destination}: {report}", soft_wrap=True, markup=False)
    if report.failures:
        raise typer.Exit(FAILED)
    if options.push is not None:
        from xcodec.tokenization.exports.hub import push

        with errors().status(f"uploading to {options.push}"):
            address = push(home(destination), options.push)
        output().print(f"Uploaded to {address}", soft_wrap=True, markup=False)


def exported(tokens: "Tokens", form: Form, folder: Path, options: FormOptions) -> "ExportReport":
    """Write a form."""
    from xcodec.tokenization.exports import EXPORTS
    from xcodec.tokenization.exports.hub import export_hub
    from xcodec.tokenization.exports.llasa_dataset import export_llasa
    from xcodec.tokenization.exports.omnivoice import export_omnivoice
    from xcodec.tokenization.joined import JoinedTokens

    if form is Form.OMNIVOICE:
        return export_omnivoice(tokens, folder, options.text)
    if form is Form.LLASA:
        assert options.llm is not None, "it was checked"
        return export_llasa(
            tokens,
            folder,
            options.llm,
            text_column=options.text,
            length=options.length,
            packed=options.packed,
            voices=options.voices,
        )
    report = export_hub(tokens, folder, options.licence) if form is Form.HF else EXPORTS[form.value](tokens, folder)
    if isinstance(tokens, JoinedTokens):
        report.skipped.update(tokens.left_out)
    return report
