"""Beats and features to musical structure, structure to light. Layer: pure; knows nothing of `beat`."""
