"""From scores to something to read: one HTML page, and tables in Markdown and LaTeX."""

from emotone.report.write import write_report

__all__ = ["write_report"]
