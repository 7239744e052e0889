"""The daemon around the live engine: one edge with its sound, broker, library, box and memory. Layer: daemon."""
