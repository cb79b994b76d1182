"""Started by torchrun: without a process group, as inference is, and then with one."""

import os

import torch.distributed as dist
from shared import BATCH, dataset, keys, tell

loader = dataset().loader(BATCH)
alone = [keys(batch) for batch in loader]
dist.init_process_group("gloo")
together = [[keys(batch) for batch in loader] for _ in range(2)]
tell(os.environ["RANK"], {"alone": [alone], "together": together})
dist.destroy_process_group()
