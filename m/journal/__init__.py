"""How a run is written down, one line a record, and read back. Knows neither the hub nor any sink."""
