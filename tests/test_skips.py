"""The end of a run says what was skipped and what to install."""

from skips import lines_about_skipped


def test_skipped_tests_are_counted_by_reason_and_what_to_install_is_one_command() -> None:
    assert lines_about_skipped(
        [
            ("tests/test_a.py::test_one", "Skipped: needs apt-get install codec2"),
            ("tests/test_a.py::test_two", "Skipped: needs apt-get install codec2"),
            ("tests/test_a.py::test_three", "Skipped: needs apt-get install sox libsox-fmt-all"),
            ("tests/test_b.py", "Skipped: needs pip install 'xcodec[eval]'"),
            ("tests/test_c.py::test_four", "Skipped: no GPU"),
        ]
    ) == [
        "2 tests: needs apt-get install codec2",
        "1 test: needs apt-get install sox libsox-fmt-all",
        "1 file: needs pip install 'xcodec[eval]'",
        "1 test: no GPU",
        "to run them: apt-get install codec2 libsox-fmt-all sox",
        "to run them: .venv/bin/pip install 'xcodec[eval]'",
    ]


def test_where_nothing_is_skipped_nothing_is_said() -> None:
    assert lines_about_skipped([]) == []
