"""`xcodec serve`: codes and text in, speech out as it is made, for many at once."""
