"""From scores to something to read: one HTML page, and tables in Markdown and LaTeX."""
