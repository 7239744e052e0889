"""Audio to features. Layer: pure; knows neither `beat` nor `genesis`."""
