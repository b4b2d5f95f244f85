"""The terminal display: one pinned dashboard on a terminal, plain text where there is none."""
