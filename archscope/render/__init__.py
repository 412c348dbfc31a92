"""How it looks: terminal, Markdown, CSV, LaTeX, HTML, figures."""

import logging

# A home folder that cannot be written costs Matplotlib its cache of fonts, which no reader of a
# figure wants three lines about.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
