"""Beats and features to musical structure, structure to light."""
