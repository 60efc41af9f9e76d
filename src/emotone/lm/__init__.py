"""Running a language model: its chat format, passes, decoding, likelihood and candidates.

Where weights come from is the room `models`; here a model that was loaded writes and reads.
"""
