"""EmpRL: a policy whose replies are as empathic as people's, by reinforcement.

Source: Ma et al. 2024 (arXiv 2408.02976) and its released code. docs/systems/emprl.md has the
equations, the settings and where we leave them.
"""

from emotone.systems.emprl.config import Config
from emotone.systems.emprl.policy import load
from emotone.systems.emprl.responder import EmpRL
from emotone.systems.emprl.tiny import tiny
from emotone.systems.emprl.training import train

__all__ = ["Config", "EmpRL", "load", "tiny", "train"]
