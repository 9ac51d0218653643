"""A data set of audio becomes Parquet files of codes: planned once, resumed after anything, exactly once each.

Raises:
    MissingExtraError: on import, where pyarrow is not installed.
"""

from xcodec.errors import require

require("pyarrow", "tokenize")
