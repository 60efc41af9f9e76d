"""Learn how well replies by hand fit posts that they were not written for (`steering.retrieve`).

1. likeness    how the model compares posts, and its reading of everyday  the shipped folder
2. candidates  replies to posts like those that nobody answered, for readers
3. fit         weights of the features, by ridge regression on what readers gave  the shipped folder

`python -m recipes.companion.match candidates --lang zh --to FOLDER`, then `recipes.everyday.sheets`
and readers, whose ratings have the system "nearest"; then `fit`. The first 2,400 English ratings,
whose weights ship, are of candidates by words, by a sentence encoder and by hidden states, eight a
post; those of `posts_typed.txt` (ids from 1001 on) were read later.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from emotone.data import everyday
from emotone.data.everyday.nearest import learned_posts
from emotone.lm.chat import prompt_ids
from emotone.models import CausalLM
from emotone.models.embed import sentence_embedder
from emotone.models.progress import bar
from emotone.steering.find import companion_named, give_adapters, open_vectors
from emotone.steering.layers import blocks
from emotone.steering.likeness import Likeness, beside, embedded, hash_of, states, whole
from emotone.steering.retrieve import FEATURES, Retriever
from emotone.steering.vector_file import WITH_ADAPTERS, shipped_file
from emotone.steering.vectors import EmotionVectors
from emotone.types import Dialogue
from recipes.companion.make import PLANS, Plan, base
from recipes.everyday.candidates import write_rows

NEAREST = "nearest"
#: Posts that nobody answered; of the second English file 200 were read.
POSTS = {"en": ("posts.txt", "posts_more.txt"), "zh": ("posts_zh.txt", "posts_zh_more.txt")}
_EACH = 7
#: Penalty of the regression, on features of unit variance.
_RIDGE = 1.0
#: Share of the depth whose states compare posts, numbers of an embedding, and the penalty of the
#: map to a sentence encoder: the best on ratings left out, of five blocks.
_DEPTH, _WIDTH, _PENALTY = 0.8, 128, 300.0


def write_likeness(plan: Plan, folder: Path) -> None:
    """Learn how posts compare, read those of everyday, and write both."""
    lm, _ = companion(plan, folder)
    posts = learned_posts(plan.lang)
    texts = [line.post for line in posts.lines]
    block = round(_DEPTH * len(blocks(lm.model))) - 1
    parts: list[torch.Tensor] = []
    with bar("reading posts", len(texts)) as advance:
        for start in range(0, len(texts), 256):
            parts.append(states(lm, texts[start : start + 256], block))
            advance(len(parts[-1]))
    hidden = torch.cat(parts)
    mean, deviation = hidden.mean(0), hidden.std(0) + 1e-6
    scaled = (hidden - mean) / deviation
    goal = scaled
    projection = torch.eye(len(mean))
    if plan.lang == "en":  # the encoder knows no other language
        goal = torch.from_numpy(sentence_embedder()(texts))
        goal = goal - goal.mean(0)
        square = scaled.T @ scaled + _PENALTY * torch.eye(len(mean))
        projection = torch.linalg.solve(square, scaled.T @ goal).T
    main = torch.linalg.svd((scaled @ projection.T)[::4], full_matrices=False)[2][:_WIDTH]
    projection = (main @ projection) / deviation
    rows = embedded(hidden, mean.half().float(), projection.half().float())
    Likeness(block, mean, projection, whole(rows), hash_of(posts)).save(folder)
    print(f"{len(texts)} posts, block {block}, {len(main)} numbers each")


def companion(plan: Plan, folder: Path) -> tuple[CausalLM, EmotionVectors]:
    """Load the model of a plan with the adapters of a folder, and its vectors."""
    vectors = open_vectors(str(folder))
    lm = base(plan)
    give_adapters(lm.model, vectors, str(folder))
    return lm, vectors


def write_candidates(plan: Plan, posts: list[str], folder: Path) -> None:
    emotions = everyday.EMOTIONS[:6] + everyday.EMOTIONS[-1:]
    lines = learned_posts(plan.lang)
    rows = [
        {"id": f"{NEAREST}:{n}/{near.line.id}", "split": "train-c", "post": post,
         "reply": near.line.replies[e], "system": NEAREST, "emotion": e}
        for n, post in enumerate(posts, 1)
        for e in [emotions[n % len(emotions)]]
        for near in lines.near(post, [e], _EACH)
    ]  # fmt: skip
    random.Random(0).shuffle(rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / f"candidates-{plan.lang}.jsonl", rows)


def fit(plan: Plan, folder: Path) -> None:
    """Write the weights into the card of a folder; print how well they do on posts left out."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    lm, vectors = companion(plan, folder)
    likeness = beside(folder)
    if likeness is None:
        raise SystemExit("run the step likeness first")
    retriever = Retriever(lm, plan.system, {}, likeness)
    posts = learned_posts(plan.lang)
    places = {line.id: i for i, line in enumerate(posts.lines)}
    by_post: dict[str, list[everyday.Rating]] = defaultdict(list)
    for rating in everyday.ratings(plan.lang, splits=["train-c"]):
        if rating.system == NEAREST and rating.id.partition("/")[2] in places:
            by_post[rating.post].append(rating)
    features: list[list[float]] = []
    with bar("reading replies", len(by_post)) as advance:
        for post, ratings in by_post.items():
            prompt = prompt_ids(lm.tokenizer, Dialogue.of(post), plan.system)
            at = [places[r.id.partition("/")[2]] for r in ratings]
            like = likeness.all(lm, post)
            near = [
                posts.compare(post, posts.lines[i])._replace(likeness=float(like[i])) for i in at
            ]
            for values, _ in retriever.features(post, prompt, near, [r.reply for r in ratings]):
                features.append([values[name] for name in FEATURES])
            advance(1)
    x = np.array(features)
    content = np.array([float(r.content) for rs in by_post.values() for r in rs])
    groups = np.repeat(np.arange(len(by_post)), [len(rs) for rs in by_post.values()])
    model = make_pipeline(StandardScaler(), Ridge(_RIDGE))
    left_out = np.asarray(cross_val_predict(model, x, content, groups=groups, cv=GroupKFold(5)))
    best = [content[groups == g][left_out[groups == g].argmax()] for g in range(len(by_post))]
    print(
        f"{len(x)} replies to {len(by_post)} posts, content {content.mean():.2f}; of posts left"
        f" out: r {np.corrcoef(left_out, content)[0, 1]:.2f}, the best of each {np.mean(best):.2f}"
    )
    scaler, ridge = model.fit(x, content).steps[0][1], model.steps[1][1]
    weights = ridge.coef_ / scaler.scale_
    bias = float(ridge.intercept_ - weights @ scaler.mean_)
    named = {"bias": bias, **dict(zip(FEATURES, map(float, weights), strict=True))}
    card = replace(vectors.card, retrieval={k: round(v, 6) for k, v in named.items()})
    replace(vectors, card=card).save(folder / WITH_ADAPTERS)
    print(card.retrieval)


def main() -> None:
    args = argparse.ArgumentParser()
    args.add_argument("step", choices=["likeness", "candidates", "fit"])
    args.add_argument("--lang", choices=list(PLANS), default="en")
    args.add_argument("--to", type=Path)
    given = args.parse_args()
    plan = PLANS[given.lang]
    if given.step == "candidates":
        files = [Path(__file__).with_name(name) for name in POSTS[plan.lang]]
        texts = [file.read_text(encoding="utf-8") for file in files]
        posts = [post for text in texts for post in text.splitlines()]
        write_candidates(plan, posts, given.to or plan.out / NEAREST)
        return
    step = {"likeness": write_likeness, "fit": fit}[given.step]
    step(plan, given.to or shipped_file(companion_named(plan.model)).parent)


if __name__ == "__main__":
    main()
