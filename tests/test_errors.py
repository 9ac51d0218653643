"""What an error carries, and that nothing of it is lost on its way."""

import copy
import json
import pickle
import subprocess
import sys

import pytest

from xcodec import errors
from xcodec.audio.ffmpeg import NotReadByFfmpegError
from xcodec.audio.libsndfile import NotReadByLibsndfileError
from xcodec.errors import AudioError, CheckpointError, InputError, MissingExtraError, XcodecError, about
from xcodec.evaluation.metric import UndefinedError
from xcodec.evaluation.systems.system import ReconstructionError
from xcodec.tokenization.engines.ray import ClusterError
from xcodec.tokenization.readers import ReaderGoneError
from xcodec.tokenization.run import IncompleteError

KINDS = [
    *(kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, XcodecError)),
    *(NotReadByFfmpegError, NotReadByLibsndfileError, UndefinedError, ReconstructionError),
    *(ReaderGoneError, IncompleteError, ClusterError),
]
FIELDS = {
    "problem": "mini has 0.8 kbit/s",
    "subject": "a.wav",
    "argument": "bandwidth",
    "value": 3.0,
    "remedy": "leave it out",
    "item": "inputs[2]",
}


def test_a_text_is_made_of_the_fields_that_are_there() -> None:
    assert str(XcodecError("is empty")) == "is empty"
    assert str(XcodecError("is empty", subject="a.wav", remedy="get it again")) == "a.wav: is empty; get it again"
    assert (
        str(InputError("mini has 0.8 kbit/s", argument="bandwidth", value=3.0)) == "bandwidth=3.0: mini has 0.8 kbit/s"
    )
    assert str(InputError("cannot be used", argument="device", value="tpu")) == "device='tpu': cannot be used"
    assert str(InputError("expected a tensor", argument="input_values")) == "input_values: expected a tensor"
    assert str(InputError(**FIELDS)) == "inputs[2]: a.wav: bandwidth=3.0: mini has 0.8 kbit/s; leave it out"
    assert InputError(**FIELDS).reason == "bandwidth=3.0: mini has 0.8 kbit/s; leave it out"


def test_a_value_is_shown_however_long_it_is() -> None:
    assert str(InputError("too many", argument="ids", value=list(range(999)))).startswith("ids=[0, 1, 2, 3")
    assert len(str(InputError("too many", argument="ids", value=list(range(999))))) < 90
    assert "thousands of digits" in str(InputError("too large", argument="id", value=10**9999))


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling_and_copying_with_their_fields(kind: type[XcodecError]) -> None:
    error = kind(**FIELDS)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), kind(**json.loads(json.dumps(error.fields())))):
        assert type(again) is kind
        assert again.fields() == FIELDS
        assert str(again) == str(error)
    bare = pickle.loads(pickle.dumps(kind("is empty")))
    assert bare.fields() == {"problem": "is empty"}
    assert str(bare) == "is empty"


def test_an_error_is_told_what_it_is_about_where_it_does_not_know() -> None:
    with pytest.raises(AudioError, match=r"^a\.wav: is empty$") as told, about("outer.wav"), about("a.wav"):
        raise AudioError("is empty")
    assert told.value.subject == "a.wav"
    with pytest.raises(AudioError, match=r"^inputs\[1\]: b\.wav: is empty$"), about("a.wav", item="inputs[1]"):
        raise AudioError("is empty", subject="b.wav")
    with pytest.raises(KeyError, match=r"^'x'$"), about("a.wav"):
        raise KeyError("x")


def test_a_library_that_is_missing_is_named_with_the_extra_that_installs_it() -> None:
    with pytest.raises(MissingExtraError, match="no_such_library is needed") as told:
        errors.require("no_such_library", "eval")
    assert told.value.remedy == "pip install 'xcodec[eval]' (no_such_library)"
    assert errors.require("json", "eval") is json


def test_what_other_libraries_say_becomes_one_line() -> None:
    assert errors.first_line(ValueError("\n  expected x\n  got y\n")) == "expected x"
    assert errors.first_line(KeyError()) == "KeyError"
    assert errors.first_line(OSError(28, "No space left on device", "a.codes")) == "No space left on device"
    assert errors.one_line(ValueError("in line 3:\n  expected x")) == "in line 3: expected x"
    assert errors.one_line(EOFError()) == "EOFError"


def test_errors_cost_no_import() -> None:
    code = "import sys, xcodec.errors; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_checkpoint_error_is_an_oserror_all_the_same() -> None:
    error = CheckpointError("holds no config.json", subject="mini")
    assert isinstance(error, OSError)
    assert error.strerror is None
    assert error.args == ("holds no config.json",)
