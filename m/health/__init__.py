"""Rules that look at every snapshot and say when a person should look at the run. Pure computation; knows no hub."""
