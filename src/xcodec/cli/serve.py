"""`xcodec serve`: a server of codes and speech."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from xcodec.cli.console import errors
from xcodec.cli.convention_options import ConventionOptions
from xcodec.cli.groups import with_groups
from xcodec.cli.options import CodecOptions
from xcodec.cli.paths import home
from xcodec.cli.values import not_empty, to_file
from xcodec.errors import require

if TYPE_CHECKING:
    from xcodec.codec import Codec
    from xcodec.llasa import Convention
    from xcodec.serving.speaker import Speaker

__all__ = ["EPILOG", "HELP", "command"]

HELP = """\
Serve a codec over HTTP and WebSocket.

Streams of all clients share the model's steps, those alike as one batch; each
client gets what it would get alone. The server listens to this machine only,
unless --host says otherwise: give it an --api-key then.

[bold]What there is[/bold]

  POST /v1/codec/encode      a recording of any format in, codes out
  POST /v1/codec/decode      codes in, wav, flac, opus, mp3 or pcm out
  WS   /v1/codec/stream      codes in, audio out while they come, or the reverse
  POST /v1/audio/speech      a text in, speech out while it is made, as OpenAI
                             has it: with --llm
  POST /v1/audio/voices      a recording and its text become a voice: with --voices
  GET  /                     a page to hear and see all of it
  GET  /v1/models, /health, /metrics

On SIGTERM it takes nothing new, and ends when those who have begun are done.

[bold]Examples[/bold]

  xcodec serve
  curl --data-binary @speech.mp3 localhost:8000/v1/codec/encode > codes.json
  curl --data-binary @codes.json localhost:8000/v1/codec/decode > speech.wav
  xcodec serve --model neuphonic/neucodec --host 0.0.0.0 --api-key secret
  xcodec serve --model HKUSTAudio/xcodec2-hf --llm HKUSTAudio/Llasa-1B --voices voices/
  xcodec serve --model neuphonic/neucodec --llm neuphonic/neutts-air --convention neutts \\
    --voices voices/ --upstream http://localhost:8080/v1"""

EPILOG = "[bold]Exit codes[/bold]  0: ended when asked to. 1: could not serve. 2: wrong usage. 130: interrupted."


@dataclass(frozen=True)
class ServerOptions:
    """Where and how it listens."""

    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="0.0.0.0 is every network.", callback=not_empty)
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes one that is free.")] = 8000
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            metavar="KEY",
            envvar="XCODEC_API_KEY",
            help="Refuse who does not give it; better in the environment than here, where others see it.",
            callback=not_empty,
            show_default=False,
        ),
    ] = None
    web: Annotated[
        str | None,
        typer.Option(
            "--web",
            metavar="DIR",
            help="What `xcodec page` wrote: codecs that the page runs in the browser.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Processor threads of the model; else all.", show_default=False),
    ] = None
    drain_seconds: Annotated[
        float, typer.Option("--drain-seconds", min=0.0, metavar="SECONDS", help="How long SIGTERM waits for clients.")
    ] = 30.0


@dataclass(frozen=True)
class SpeechOptions:
    """The language model that speaks."""

    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            metavar="LLM",
            help="A language model: a folder or a hub id.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="A server that has the language model, such as http://localhost:8000/v1; of --llm only the tokenizer "
            "is read then.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None
    upstream_model: Annotated[
        str | None,
        typer.Option(
            "--upstream-model",
            metavar="NAME",
            help="What that server calls it; else LLM.",
            show_default=False,
            callback=not_empty,
        ),
    ] = None
    voices: Annotated[
        str | None,
        typer.Option(
            "--voices",
            metavar="DIR",
            help="A folder of voices: recordings and texts, ann.wav and ann.txt.",
            show_default=False,
            callback=to_file,
        ),
    ] = None
    max_text: Annotated[int, typer.Option("--max-text", min=1, help="Characters of a text.")] = 4096
    max_speeches: Annotated[int, typer.Option("--max-speeches", min=1, help="Texts that are being said at once.")] = 16

    def check(self) -> None:
        """Refuse a server without a tokenizer.

        Raises:
            typer.BadParameter: says what to give.
        """
        if self.llm is None and (self.upstream or self.upstream_model):
            raise typer.BadParameter("give the language model's tokenizer too: --llm, a folder or a hub id")


@dataclass(frozen=True)
class LimitOptions:
    """What clients may ask for."""

    max_streams: Annotated[int, typer.Option("--max-streams", min=1, help="Streams that are open at once.")] = 128
    max_jobs: Annotated[int, typer.Option("--max-jobs", min=1, help="Recordings at work or waiting.")] = 32
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", min=1.0, metavar="SECONDS", help="Audio of a recording or stream.")
    ] = 600.0
    max_upload: Annotated[
        float, typer.Option("--max-upload", min=0.001, metavar="MB", help="Megabytes of a request.")
    ] = 64.0
    idle_seconds: Annotated[
        float, typer.Option("--idle-seconds", min=1.0, metavar="SECONDS", help="How long a client may do nothing.")
    ] = 60.0


@with_groups
def command(
    *,
    codec: CodecOptions,
    speech: SpeechOptions,
    asked: ConventionOptions,
    server: ServerOptions,
    limits: LimitOptions,
) -> None:
    """Serve a codec over HTTP and WebSocket."""
    speech.check()
    for module in ("fastapi", "uvicorn", "websockets", "prometheus_client", "python_multipart"):
        require(module, "serve")
    import torch

    from xcodec.serving.app import create_app
    from xcodec.serving.limits import Limits
    from xcodec.serving.server import listen, server_for
    from xcodec.serving.service import Service

    with listen(server.host, server.port) as listening:
        if server.threads is not None:
            torch.set_num_threads(server.threads)
        convention = asked.read()
        loaded = codec.load()
        service = Service(
            loaded,
            Limits(
                streams=limits.max_streams,
                jobs=limits.max_jobs,
                text=speech.max_text,
                speeches=speech.max_speeches,
                seconds=limits.max_seconds,
                upload_bytes=round(limits.max_upload * 1e6),
                idle_seconds=limits.idle_seconds,
            ),
            speaker=None if speech.llm is None else load(speech, convention, loaded, codec.device),
            voices_folder=None if speech.voices is None else home(speech.voices),
        )
        host, port = listening.getsockname()[:2]
        address = f"[{host}]" if ":" in host else host

        def told() -> None:
            errors().print(f"serving {service.codec.name} at http://{address}:{port}", soft_wrap=True, markup=False)

        app = create_app(service, server.api_key, None if server.web is None else home(server.web))
        server_for(app, service, server.drain_seconds, told).run(sockets=[listening])


def load(speech: SpeechOptions, convention: "Convention", codec: "Codec", device: str) -> "Speaker":
    """Load the language model that the options ask for."""
    assert speech.llm is not None
    with errors().status(f"loading {speech.llm}"):
        from xcodec.serving.language_model import load_speaker

        return load_speaker(
            speech.llm,
            codec,
            convention=convention,
            device=device,
            upstream=speech.upstream,
            upstream_model=speech.upstream_model,
        )
