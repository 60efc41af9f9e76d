"""Numbers over a corpus of replies, one file a metric; judges come in as arguments."""
