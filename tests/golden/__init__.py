"""What fixed seeds give, stored in a file and compared after a change that must not change it.

    python -m tests.golden store               # write tests/golden/golden.json
    python -m tests.golden compare             # run all again; exit code 1 on a difference
    python -m tests.golden compare --only replies_ecm,train_ecm
    python -m tests.golden list

It reaches emotone by its command line alone, so that Python names may change: what is compared is
texts, labels, numbers at full precision, rows of logs and the tensors of model files. Timings,
versions and messages on stderr are left out.

Floats are those of one kind of CPU and one version of torch, in one thread. Elsewhere their last
digits may differ and `--tolerance 1e-3` compares them roughly, digests of tensors by their norms;
texts should be the same. A text that hangs on a near tie may still differ.

Differences that are meant stand in `on_purpose.toml` with a reason, and are printed apart.
The default model, the encoder of the judges and emotone-zoo are needed; the first two are fetched
once, as by any use. All cases take 5 minutes of one core.
"""
