"""How good reconstructions are: pairs of recordings in, scores with their intervals out, as a table, JSON or a page."""
