"""An output of `xcodec tokenize` as one HTML file: what is in it, what failed, and some of it to listen to."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from xcodec.audio import Audio
from xcodec.errors import AudioError
from xcodec.evaluation.data_set import measure_data_set
from xcodec.evaluation.page_parts import Listening, card_of, colour, rendered
from xcodec.tokenization.readers import ReaderPool, ReadingLimits
from xcodec.tokenization.sample import sampled_rows
from xcodec.tokenization.tokens import Row, Tokens

if TYPE_CHECKING:
    from xcodec.codec import Codec

__all__ = ["data_set_page"]

_HEARD = 20.0  # seconds of a recording, at most: the file holds the sound


def data_set_page(tokens: Tokens, codec: "Codec | None" = None, examples: int = 6, seed: int = 0) -> str:
    """Render the page, as text of HTML, by the template data_set.html.

    Args:
        tokens: an output.
        codec: that made it; None is for nothing to listen to.
        examples: recordings to listen to.
        seed: of which they are.

    Raises:
        CodesError: where another codec made the codes.
        InputError: where a file of codes is damaged, or not of the plan.
        MissingExtraError: without Jinja2 or Pillow.
    """
    levels = () if codec is None else codec.model.quantization_levels
    data = measure_data_set(tokens, levels)
    heard = () if codec is None else tuple(listenings(tokens, codec, examples, seed))
    told = tokens.codec
    return rendered(
        "data_set.html",
        data=data,
        title=str(tokens.plan.store).rstrip("/").rpartition("/")[2] or str(tokens.plan.store),
        standing=data.standing,
        length=f"{seconds / 3600:,.2f} hours"
        if (seconds := data.standing.seconds_done) >= 3600
        else f"{seconds:.1f} s",
        facts=[
            ("codec", told["name"]),
            ("configuration, weights", f"{told['config_hash'][:16]}, {told['weights_hash'][:16]}"),
            ("precision, version", f"{told['dtype']}, xcodec {told['xcodec']}"),
            ("codes", f"{told['frame_rate']:g} a second, codebooks: {len(told['codebook_sizes'])}"),
            ("shards", f"{data.standing.shards_done:,} of {data.standing.shards:,}"),
            ("output", str(tokens.plan.store)),
        ],
        codebooks=[("", f"codebook {i}", use) for i, use in enumerate(data.codebooks, 1)],
        examples=heard,
        colour=colour,
    )


def listenings(tokens: Tokens, codec: "Codec", count: int, seed: int) -> Iterator[Listening]:
    """Some recordings, where they are still there, beside what their codes are decoded to."""
    levels = codec.model.quantization_levels
    with ReaderPool(1, codec.sampling_rate, ReadingLimits()) as pool:
        for sampled in sampled_rows(tokens, tokens.plan.survey().done, count, seed):
            row = begun(sampled.row, tokens.codec["frame_rate"])
            codes = tokens.codes(row)
            decoded = codec.decode(codes)
            [sound] = pool.read([sampled.entry])
            cards = []
            original = decoded
            if not isinstance(sound, AudioError):
                whole = sampled.of(sound.audio)
                original = Audio(whole.samples[..., : round(row.seconds * whole.sampling_rate)], whole.sampling_rate)
                cards.append(card_of("recording", "", original, original))
            cards.append(card_of("decoded", "", decoded, original, codes, levels))
            text = row.carried.get("text")
            yield Listening(row.id, row.seconds, "" if text is None else str(text), tuple(cards))


def begun(row: Row, frame_rate: float) -> Row:
    """The first seconds of a row."""
    frames = round(_HEARD * frame_rate)
    if row.codes.shape[1] <= frames:
        return row
    return replace(row, codes=row.codes[:, :frames], seconds=frames / frame_rate)
