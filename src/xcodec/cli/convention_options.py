"""How a language model spells speech and is asked, as options: --convention and --language."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.values import not_empty
from xcodec.errors import InputError

if TYPE_CHECKING:
    from xcodec.llasa import Convention

__all__ = ["ConventionOptions"]


@dataclass(frozen=True)
class ConventionOptions:
    """How the language model spells speech, and is asked."""

    convention: Annotated[
        str,
        typer.Option(
            "--convention",
            metavar="NAME|FILE",
            help="How it spells speech and is asked: llasa, neutts, or a JSON file that says it.",
            callback=not_empty,
        ),
    ] = "llasa"
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="LANG",
            help="Of texts that become phones, as espeak-ng calls it; else what the convention says, which is en-us.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None

    def read(self) -> "Convention":
        """Read the convention.

        Raises:
            InputError: where there is none, or it says something else.
        """
        from xcodec.llasa import read_convention

        convention = read_convention(self.convention)
        if self.language is None:
            return convention
        if not convention.reads_phones:
            raise InputError(
                f"the language model is asked in writing, not in phones, by the convention {self.convention}",
                argument="language",
                value=self.language,
                remedy="leave it out",
            )
        return replace(convention, language=self.language)
