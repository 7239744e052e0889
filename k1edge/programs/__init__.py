"""What the command line offers, a module for each program, and what the larger ones are made of."""
