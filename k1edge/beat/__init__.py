"""Features to beats, announced before they are due. Layer: pure; knows nothing of `genesis`."""
