"""What the daemon asks of the machine it runs on. Layer: edges."""
