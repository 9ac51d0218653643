"""`python -m xcodec` is `xcodec`."""

from xcodec.cli import main

if __name__ == "__main__":
    main()
