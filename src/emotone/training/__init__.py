"""One run for every training, and what keeps it whole.

`run.Run` makes the steps of a `run.Task`, goes on after a kill, and chooses the best weights;
`loop.fit` trains by likelihood, and `settings.Training` says how. It knows nothing of words or
systems: it takes plans of row indices, a function that makes a batch of them, and a model that
returns sums of losses.
"""

from emotone.training.settings import Evaluation, Fitted, Training

__all__ = ["Evaluation", "Fitted", "Training"]
