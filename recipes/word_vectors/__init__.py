"""How Chinese word vectors are made from the corpora at hand."""
