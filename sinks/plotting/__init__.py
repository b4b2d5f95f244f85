"""Curves of a run as a figure: what is kept, what is drawn, and where it appears, each in files of its own.

``sink`` records and answers; ``config``, ``layouts`` and ``automatic`` say what goes into which panel (a ``plan``);
``figure``, ``panel`` and ``heatmap`` draw a plan; ``saving`` writes files; ``appearance`` is where a figure shows.
Importing ``sinks.plotting`` or ``sinks.plotting.sink``, and recording, loads no matplotlib.
"""
