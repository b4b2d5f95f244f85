"""What everything costs, beside its peers, in one run. ``python -m benchmarks`` runs all; see README.md here."""
