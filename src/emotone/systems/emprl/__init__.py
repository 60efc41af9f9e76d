"""EmpRL: a policy whose replies are as empathic as people's, by reinforcement.

    theta_0 = argmax sum log p(reply | dialogue)                       `supervised.supervise`
    R(c, y) = prod_k p_k(l_k | c, y)                                   `reward.empathy_reward`
    r_t     = -beta (log pi(y_t) - log rho(y_t)) + [t last] scaled R   `rl.rewards.token_rewards`
    delta_t = r_t + gamma V_{t+1} - V_t
    A_t     = sum_i (gamma lambda)^i delta_{t+i}                       `rl.advantages.gae`
    L       = mean[-min(ratio A, clip(ratio, 1 - eps, 1 + eps) A)]     `rl.losses.policy_loss`
              + 0.1 mean[(V - returns)^2] / 2, clipped                 `rl.losses.value_loss`

k is a mechanism of empathy (emotional reaction, interpretation, exploration), l_k its level in the
reference reply, p_k an identifier's probability; rho is the policy of theta_0, frozen; ratio is
pi(y_t) / pi_old(y_t). R is scaled by running moments (`rl.rewards.scale_scores`), and beta adapts
to a target (`rl.rewards.adapt_kl_weight`).

One step of the second stage, numbered 1 to 7: `emotone.rl.trainer`. Deviations from the paper or
its released code, with reasons in docs/systems/emprl.md:

1. Log-probabilities are over the tokens that could have been sampled (top k, the temperature), not
   over the whole vocabulary at temperature 1.
2. Dropout is off where replies are sampled and, by default, where they are learned from.
3. The first token of a reply is trained and counted in the KL; the library that the authors use
   skips it.
4. Whitened rewards stay 0 at padding; gradients are clipped in every update, not in the first only;
   a loss is the mean over the tokens of an update, not of the means of small batches, which are
   cut once and not shuffled anew in each pass; the critic begins at 0, not at random.
5. A dialogue that is too long loses its beginning, not its end.
6. The identifier of the reward never scores: the metric has one of its own.
7. Guards against replies that game the reward (`guards`), off by default.
8. The weights kept are those of the best evaluation under guards of perplexity, Distinct-2 and
   length, where the authors take step 1,600.
9. Beyond the paper: RLOO and GRPO, adapters on causal chat models, levels and emotions on request.

Source: Ma et al. 2024, "Empathy Level Alignment via Reinforcement Learning for Empathetic Response
Generation" (arXiv 2408.02976), and its released code.
"""

from emotone.systems.emprl.config import Config
from emotone.systems.emprl.policy import load
from emotone.systems.emprl.responder import EmpRL
from emotone.systems.emprl.tiny import tiny
from emotone.systems.emprl.training import train

__all__ = ["Config", "EmpRL", "load", "tiny", "train"]
