"""Audio to features."""
