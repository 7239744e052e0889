"""Features to beats, announced before they are due."""
