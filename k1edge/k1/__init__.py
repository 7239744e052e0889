"""The K1: its MQTT contract, the link to a broker, and a virtual one that obeys the contract.

Layer: edges; link and virtual K1 do not know each other.
"""
