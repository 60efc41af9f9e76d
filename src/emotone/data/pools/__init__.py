"""Pools: pairs of several corpora, filtered, labelled and split, for the recurrent systems."""
