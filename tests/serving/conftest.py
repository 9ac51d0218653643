"""What the tests of the server share: the codec that is served."""

import pytest

from xcodec import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.from_pretrained()
