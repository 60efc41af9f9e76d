"""Speed and memory as ratios against a named peer, measured in one run."""
