"""Corpora in their official formats, Chinese text, word lists and word vectors."""
