"""Reinforcement: a policy writes replies, and PPO, RLOO or GRPO raise their reward.

`trainer.reinforce` tells the story in seven steps. Each step is a file: `rollout` (replies, and
what the policy and its reference say of them), `rewards`, `advantages`, `losses`, `learning`;
`development` chooses the best weights. A policy is `seq2seq` or `causal` (with `adapters`).
"""
