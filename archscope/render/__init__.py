"""How it looks: terminal, Markdown, CSV, LaTeX, HTML, figures."""
