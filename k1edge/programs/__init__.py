"""What the command line offers, a module for each program, and what they share."""
