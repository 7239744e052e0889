"""What only hindsight allows: the passes over a whole track that turn what was heard into a Genesis Map.

Layer: composition.
"""
