"""What `xcodec evaluate` compares: options become systems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from xcodec.built_in import BUILT_IN, MINI
from xcodec.cli.console import errors
from xcodec.cli.options import Bandwidth, Precision, load_codec
from xcodec.cli.paths import home
from xcodec.cli.values import not_empty
from xcodec.errors import MissingExtraError

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.evaluation.metric import Missing
    from xcodec.evaluation.setting import Setting
    from xcodec.evaluation.systems.system import System
    from xcodec.evaluation.systems.transformers_codec import TransformersModel

__all__ = ["SystemOptions", "load_baselines", "load_systems", "show_left_over"]


@dataclass(frozen=True)
class SystemOptions:
    """What is evaluated."""

    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A checkpoint folder, a hub id, or mini or mini-general, which are built in, also of transformers' "
            "other codecs; MODEL@RATE and MODEL:TYPE say its bandwidth or number of codebooks, and --dtype. May be "
            "given again.",
            show_default=False,
            callback=lambda value: not_empty(value or []),
        ),
    ] = None
    folders: Annotated[
        list[str] | None,
        typer.Option(
            "--reconstructions",
            "-r",
            metavar="FOLDER",
            help="Reconstructions that are there already. May be given again.",
            show_default=False,
            callback=lambda value: not_empty(value or []),
        ),
    ] = None
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline", metavar="NAME", help="codec2:MODE or opus:KBPS. May be given again.", show_default=False
        ),
    ] = None
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--command",
            metavar="TEXT",
            help="A program that reads one WAV file and writes another, as 'mycodec {in} {out}'; {bitstream}, if it is "
            "named too, counts its bits. May be given again.",
            show_default=False,
            callback=lambda value: not_empty(value or []),
        ),
    ] = None
    command_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="The longest that a --command may take for a clip.")
    ] = 600.0
    bandwidth: Bandwidth = None

    def check(self) -> None:
        """Refuse to evaluate nothing.

        Raises:
            typer.BadParameter: says what to give.
        """
        if not (self.models or self.folders or self.baselines or self.commands):
            raise typer.BadParameter(
                "there is nothing to evaluate; give --model, --reconstructions, --baseline or --command"
            )


def show_left_over(systems: "Sequence[System]") -> None:
    """Print what folders of reconstructions hold that is no recording's counterpart."""
    from xcodec.evaluation.systems.folder import Folder

    for folder in (system for system in systems if isinstance(system, Folder)):
        if extra := folder.left_over():
            names = ", ".join(str(path.relative_to(folder.path)) for path in extra[:3])
            more = " ..." if len(extra) > 3 else ""
            note = f"{folder.name}: what is no recording's counterpart was left out ({len(extra)}): {names}{more}"
            errors().print(Text(note), soft_wrap=True)


def load_systems(options: SystemOptions, device: str, dtype: Precision, compiled: bool) -> "list[System]":
    """Models, folders and commands as systems; models that differ in their rate alone are loaded once."""
    from xcodec.evaluation.setting import Setting
    from xcodec.evaluation.systems.command import Command
    from xcodec.evaluation.systems.folder import Folder

    settings = [Setting.parse(name) for name in options.models or ()]
    wanted = [(setting.model, setting.precision or dtype) for setting in settings]
    loaded = {each: load_model(each[0], device, each[1], compiled) for each in dict.fromkeys(wanted)}
    models = [
        model_system(loaded[each], setting, options.bandwidth) for setting, each in zip(settings, wanted, strict=True)
    ]
    commands = [Command(text, options.command_timeout) for text in options.commands or ()]
    return [*models, *(Folder(home(folder), folder) for folder in options.folders or ()), *commands]


def load_model(name: str, device: str, dtype: Precision, compiled: bool) -> "Codec | TransformersModel":
    """Load a codec of this package or, where its configuration says so, of transformers."""
    path = home(name)
    if name != MINI and (name not in BUILT_IN or path.is_dir()):
        from xcodec.device import choose_device
        from xcodec.evaluation.systems.transformers_codec import TransformersModel, is_of_transformers

        where = str(path) if path.exists() else name
        if is_of_transformers(where):
            with errors().status(f"loading {name}"):
                from transformers.utils import logging

                logging.set_verbosity_error()
                logging.disable_progress_bar()
                return TransformersModel.load(where, choose_device(device), dtype)
    return load_codec(name, device, dtype, compiled=compiled)


def model_system(loaded: "Codec | TransformersModel", setting: "Setting", bandwidth: float | None) -> "System":
    """What was loaded, at the rate that its name or else --bandwidth asks for."""
    from xcodec.codec import Codec
    from xcodec.evaluation.systems.model import Model
    from xcodec.evaluation.systems.transformers_codec import TransformersCodec

    rate = bandwidth if setting.bandwidth is None else setting.bandwidth
    if isinstance(loaded, Codec):
        return Model(loaded, setting.text, rate, named_whole=setting.bandwidth is not None)
    name = setting.text if rate == setting.bandwidth else f"{setting.text} at {rate:g} kbit/s"
    return TransformersCodec(loaded, name, rate)


def load_baselines(names: list[str], missing: "list[Missing]") -> "Iterator[System]":
    """The baselines whose programs are there; of the others, how to get them."""
    from xcodec.evaluation.metric import Missing
    from xcodec.evaluation.systems.baselines import baseline

    for name in names:
        try:
            yield baseline(name)
        except MissingExtraError as error:
            missing.append(Missing(name, error.remedy or error.problem))
