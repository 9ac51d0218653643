"""Probing a codec's codes: what they depend on, what they hold, and what is lost where they are damaged."""
