"""A data set of audio becomes Parquet files of codes: planned once, resumed after anything, exactly once each."""
