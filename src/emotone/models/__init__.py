"""Where weights come from: a catalogue of known models, a cache, folders and the model hub.

Importing this room loads neither torch nor transformers; loading a model does.
"""

from __future__ import annotations

from emotone.models.catalog import DEFAULT, Entry, Terms, entry, known
from emotone.models.load import CausalLM, Seq2SeqLM, load_causal_lm, load_seq2seq_lm
from emotone.models.store import (
    Info,
    Location,
    cache_root,
    info,
    installed,
    locate,
    pull,
    read_terms,
    remove,
)
from emotone.models.template import chat_template_hash

__all__ = [
    "DEFAULT",
    "CausalLM",
    "Entry",
    "Info",
    "Location",
    "Seq2SeqLM",
    "Terms",
    "cache_root",
    "chat_template_hash",
    "entry",
    "info",
    "installed",
    "known",
    "load_causal_lm",
    "load_seq2seq_lm",
    "locate",
    "pull",
    "read_terms",
    "remove",
]
