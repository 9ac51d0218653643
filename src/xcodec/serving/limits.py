"""What one client may ask for, and all of them together."""

from dataclasses import dataclass, fields

from xcodec.errors import InputError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """How much is taken at most; what is more is refused with an error that says so.

    Args:
        streams: that are open at once.
        jobs: whole recordings that are being encoded or decoded, or wait for it.
        speeches: texts that are being said at once.
        text: characters of a text that is to be said.
        seconds: of audio in one recording, one stream or one speech.
        upload_bytes: of one request.
        pending_seconds: of a stream's input that is not decoded or encoded yet; more is not read from its client.
        unread_pieces: of a stream's output that its client has not taken yet; more is not made.
        idle_seconds: that a client may neither send nor read what is waited for.
        batch: streams that are decoded or encoded at once. More are done in turns, so that one that has just begun
            waits for a short step only.
    """

    streams: int = 128
    jobs: int = 32
    speeches: int = 16
    text: int = 4096
    seconds: float = 600.0
    upload_bytes: int = 64 * 1024 * 1024
    pending_seconds: float = 10.0
    unread_pieces: int = 8
    idle_seconds: float = 60.0
    batch: int = 32

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise InputError("expected a number above 0", argument=field.name, value=getattr(self, field.name))
