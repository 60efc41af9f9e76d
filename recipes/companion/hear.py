"""Teach a companion to hear what the writer of a post feels, for the emotion `auto`.

`python -m recipes.companion.hear [--lang zh]` fits a logistic regression of the model's states over
a post, read as if it were said in answer to nothing, and keeps it beside the companion's vectors as
`hearing`. `feelings.tsv` says what the writers of posts of everyday feel, as a reader told who saw
the posts alone (a language model); those of the test split tell how well it hears.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from emotone.data import everyday
from emotone.data.text import Lang
from emotone.emotions import MAPS
from emotone.judges import LABEL, open_judge
from emotone.lm.chat import prompt_ids
from emotone.steering.ears import NOTHING, Ears
from emotone.steering.find import companion_named, give_adapters, open_vectors
from emotone.steering.listen import Listener, train_listener
from emotone.steering.make import LISTEN_AT
from emotone.steering.record import response_means
from emotone.steering.vector_file import WITH_ADAPTERS, shipped_file
from recipes.companion.make import PLANS, base

FEELINGS = Path(__file__).with_name("feelings.tsv")
#: Fewer posts than this do not tell a feeling.
FEWEST = 15
#: Inverse regularisations that are tried, on a fifth of the posts left out.
STRENGTHS = (0.001, 0.003, 0.01, 0.03)


def feelings(lang: Lang, *, tested: bool) -> list[tuple[str, str]]:
    """Posts and what their writers feel: those of the test split, or all others."""
    named = dict(row.split("\t") for row in FEELINGS.read_text(encoding="utf-8").splitlines())
    return [
        (line.post, named[line.id])
        for line in everyday.lines(lang)
        if line.id in named and (line.split == "test") == tested
    ]


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("--lang", choices=list(PLANS), default="en")
    args.add_argument("--folder", type=Path)
    given = args.parse_args()
    plan = PLANS[given.lang]
    folder = given.folder or shipped_file(companion_named(plan.model)).parent
    vectors = open_vectors(str(folder))
    lm = base(plan)
    give_adapters(lm.model, vectors, str(folder))
    head = prompt_ids(lm.tokenizer, NOTHING, plan.system)
    taught = feelings(plan.lang, tested=False)
    counts = Counter(feeling for _, feeling in taught)
    taught = [(post, feeling) for post, feeling in taught if counts[feeling] >= FEWEST]
    read = response_means(lm.model, lm.tokenizer, [(head, post) for post, _ in taught])
    block = round(LISTEN_AT * len(read.norms))
    means, labels = read.means[:, block], [feeling for _, feeling in taught]
    fitted = [i for i in range(len(taught)) if i % 5]  # every fifth post is left out

    def right(strength: float) -> float:
        part = train_listener(
            means[fitted], [labels[i] for i in fitted], block=block, strength=strength
        )
        heard = part.logprobs(means[::5]).argmax(-1).tolist()
        gold = labels[::5]
        return float(np.mean([part.labels[h] == g for h, g in zip(heard, gold, strict=True)]))

    rates = {strength: right(strength) for strength in STRENGTHS}
    strength = max(rates, key=rates.__getitem__)
    hearing: Listener = train_listener(means, labels, block=block, strength=strength)
    print(f"{len(taught)} posts, {dict(counts.most_common())}; left out right {rates}")
    tested = feelings(plan.lang, tested=True)
    ears = Ears(lm, hearing, plan.system, "hearing", of_posts=True)
    judges = {"hearing": ears, LABEL[plan.lang]: open_judge(LABEL[plan.lang], "everyday")}
    ekman = MAPS["everyday", "ekman"]
    for name, judge in judges.items():
        heard = [scores.label for scores in judge.classify([post for post, _ in tested])]
        gold = [feeling for _, feeling in tested]
        # In Ekman's emotions and neutral, as no two have the same words: loneliness is sadness.
        near = [(ekman[h], ekman[g]) for h, g in zip(heard, gold, strict=True)]
        share = np.mean([h == g for h, g in near])
        macro = f1_score([g for _, g in near], [h for h, _ in near], average="macro")
        own = np.mean([h == g for h, g in zip(heard, gold, strict=True)])
        print(
            f"{name}: right {share:.3f}, macro-F1 {macro:.3f} of {len(tested)} posts; {own:.3f} in"
            " the reader's words"
        )
    replace(vectors, hearing=hearing).save(folder / WITH_ADAPTERS)


if __name__ == "__main__":
    main()
