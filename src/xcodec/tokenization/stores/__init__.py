"""Where an output lies: a folder here, or a prefix of an object store, with what a run does to its files.

A store knows names such as `plan.json` and `codes/0000000.parquet`, and for each of them the whole file or nothing.
"""

import os

from xcodec.errors import InputError
from xcodec.location import Location, is_url
from xcodec.tokenization.stores.bucket import BucketStore
from xcodec.tokenization.stores.folder import FolderStore
from xcodec.tokenization.stores.store import RunLock, Store, WrittenAlreadyError

__all__ = ["BucketStore", "FolderStore", "RunLock", "Store", "WrittenAlreadyError", "store_of"]

_READ_ONLY = ("http", "https")


def store_of(place: str | os.PathLike[str]) -> Store:
    """Return the store that a path or a URL names. Nothing is made yet.

    Raises:
        InputError: for a URL to which nothing can be written in this way.
        MissingExtraError: where fsspec needs a library for the protocol.
    """
    if not isinstance(place, str) or not is_url(place):
        return FolderStore(place)
    location = Location.of(place, use_listings_cache=False)
    protocols = (location.fs.protocol,) if isinstance(location.fs.protocol, str) else tuple(location.fs.protocol)
    if "file" in protocols:
        return FolderStore(location.path)
    if set(protocols) & set(_READ_ONLY):
        raise InputError("can be read, but not written to", subject=place, remedy="give a folder, or s3:// or gs://")
    if "hf" in protocols and not location.path.startswith("buckets/"):
        raise InputError(
            "would be a commit for every file, and every few seconds one for the status",
            subject=place,
            remedy="write to a folder or a bucket, and upload what is finished",
        )
    return BucketStore(location)
