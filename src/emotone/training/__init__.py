"""One visible training loop for every system, and what keeps a run whole.

`loop.fit` trains; `settings.Training` says how; `checkpoint` makes a killed run go on as if nothing
had happened. The loop knows nothing of words or models: it takes plans of row indices, a function
that makes a batch of them, and a model that returns sums of losses.
"""

from emotone.training.settings import Fitted, Point, Training

__all__ = ["Fitted", "Point", "Training"]
