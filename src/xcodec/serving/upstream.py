"""A language model on another server, which speaks OpenAI's protocol: vLLM, llama.cpp's server, SGLang."""

import json
from collections.abc import Generator, Sequence
from typing import Any

import httpx

from xcodec.llasa.answer import Piece
from xcodec.llasa.engine import Engine
from xcodec.llasa.sampling import Sampling
from xcodec.llasa.tokens import SpeechTokens
from xcodec.serving.faults import Fault

__all__ = ["Upstream"]


class Upstream(Engine):
    """An engine that asks `URL/completions`, and reads the answer while it comes.

    Args:
        url: such as http://localhost:8000/v1.
        model: what the server calls it.
        tokens: of its vocabulary.
        api_key: for the server; None gives none.
        seconds: that the next piece of an answer may take.
    """

    skip_others = True  # it may sample any token; what is no speech is left out

    def __init__(
        self, url: str, model: str, tokens: SpeechTokens, api_key: str | None = None, seconds: float = 60.0
    ) -> None:
        self._url, self._model, self._tokens = url.rstrip("/"), model, tokens
        headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # one is little beside an answer
        self._client = httpx.Client(headers=headers, timeout=seconds, limits=limits)

    def stream(self, prompt: Sequence[int], sampling: Sampling) -> Generator[Piece, None, None]:
        """Yield the text that follows a prompt; closing ends the request, and so the server's work.

        Raises:
            Fault: where the server does not answer, refuses, or does not spell its tokens.
        """
        try:
            with self._client.stream(
                "POST", f"{self._url}/completions", json=self._question(prompt, sampling)
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise upstream_failed(f"answers {answer.status_code}: {answer.text[:200]}")
                said = False
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        choice = chosen(line[6:])
                        text = choice.get("text", "")
                        said = said or bool(text)
                        yield text
                        if said and choice.get("finish_reason") == "stop":
                            yield self._tokens.end_id  # else the answer was cut
                if not said:
                    raise upstream_failed("answers with no text; llama.cpp's has to be started with --special")
        except httpx.HTTPError as error:
            raise upstream_failed(f"cannot be asked: {error or type(error).__name__}") from None

    def _question(self, prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
        question = {
            "model": self._model,
            "prompt": list(prompt),
            "stream": True,
            "max_tokens": sampling.max_codes + 1,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stop": [self._tokens.convention.speech_end],
            # What these servers understand besides, each some of it:
            "top_k": sampling.top_k or -1,
            "min_p": 0.0,  # where nothing is said, llama.cpp's server leaves out what is unlikely
            "repetition_penalty": sampling.repetition_penalty,
            "repeat_penalty": sampling.repetition_penalty,  # as llama.cpp's server calls it
            "min_tokens": min(sampling.least_codes, sampling.max_codes),
            "skip_special_tokens": False,
            "stop_token_ids": [self._tokens.end_id],
        }
        return question if sampling.seed is None else {**question, "seed": sampling.seed}


def chosen(event: str) -> dict[str, Any]:
    """Read one event of a completion.

    Raises:
        Fault: where it is none.
    """
    try:
        told = json.loads(event)
        if "error" in told:
            raise upstream_failed(f"says {str(told['error'])[:200]}")
        choice: dict[str, Any] = told["choices"][0] if told["choices"] else {}
    except (ValueError, LookupError, TypeError):
        raise upstream_failed(f"says what is no completion: {event[:100]!r}") from None
    return choice


def upstream_failed(what: str) -> Fault:
    """Make the error of a server behind this one."""
    return Fault(502, f"the language model's server {what}", "upstream_failed")
