"""Started by torchrun: what accelerate does at the end of an epoch, and what it cannot do."""

import torch
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration
from shared import BATCH, dataset, keys, tell
from torch.utils.data import DataLoader

from spora_db import PanelBatchSampler, SporaError, TileSampler, collate_padded

data, found, errors = dataset(), {}, {}
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
model = accelerator.prepare(torch.nn.Linear(1, 1))


def plain():
    return DataLoader(data, batch_size=BATCH, sampler=TileSampler(data, block=BATCH), collate_fn=collate_padded)


def refused(name, loader):
    try:
        next(iter(loader))
    except SporaError as error:
        errors[name] = str(error)


for name, raw in (("ours", data.loader(BATCH)), ("plain", plain())):
    loader, rows, steps = accelerator.prepare(raw), [], []
    for batch in loader:
        with accelerator.accumulate(model):
            steps.append(accelerator.sync_gradients)
        rows += accelerator.gather_for_metrics(keys(batch))
    found[name] = {"steps": steps, "rows": rows}
panels = PanelBatchSampler(TileSampler(data), batch_size=BATCH)
refused("panels", accelerator.prepare(DataLoader(data, batch_sampler=panels, collate_fn=collate_padded)))
stopped, again = accelerator.prepare(data.loader(BATCH)), accelerator.prepare(data.loader(BATCH))
next(iter(stopped))
again.load_state_dict(stopped.state_dict())
refused("skipped", skip_first_batches(again, 1))
dispatching = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=True))
if accelerator.is_main_process:  # which alone iterates
    refused("dispatched", dispatching.prepare(plain()))
tell(accelerator.process_index, {"found": found, "errors": errors})
