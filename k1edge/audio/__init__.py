"""Sources of audio: the line input, files and test signals. Each iterates over `AudioBlock`s."""
