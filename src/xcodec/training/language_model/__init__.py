"""Rows of texts and codes teach a language model to speak."""
