"""One file a corpus; the file's name is the corpus's name, and nothing is registered."""
