"""Blocks of torch that take explicit arguments and know no config, file or model."""
