"""Who hears of a snapshot: the hub, and how each sink is delivered to. Knows no sink."""
