"""What a moment of training is, and what follows from it. Pure data and computation; no output of any kind."""
