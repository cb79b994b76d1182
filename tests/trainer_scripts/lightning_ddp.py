"""Lightning with its own launcher of processes: loaders made anywhere, validation, prediction."""

import logging
import os

import lightning as L
import torch
from shared import BATCH, dataset, keys, tell

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.trained, self.validated = torch.nn.Linear(1, 1), [[], []], [[], []]

    def training_step(self, batch, index):
        self.trained[self.current_epoch].append(keys(batch))
        return self.layer(torch.zeros(1, 1)).sum()

    def validation_step(self, batch, index):
        self.validated[self.current_epoch].append(keys(batch))

    def predict_step(self, batch, index):
        return keys(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Hook(Module):
    def train_dataloader(self):
        return dataset().loader(BATCH, collate="panel", num_workers=1, start_method="fork")


class Data(L.LightningDataModule):
    def train_dataloader(self):
        return dataset().loader(BATCH)

    def val_dataloader(self):
        return dataset().loader(BATCH, shuffle="none")  # as many batches as in training: they must not be taken for it


def trainer():
    return L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip


argument, hook, module, last = Module(), Hook(), Module(), trainer()
trainer().fit(argument, dataset().loader(BATCH))
trainer().fit(hook)
last.fit(module, datamodule=Data())
predicted = last.predict(Module(), dataset().loader(BATCH))
found = {"argument": argument.trained, "hook": hook.trained, "module": module.trained, "validated": module.validated}
tell(os.environ.get("LOCAL_RANK", "0"), {**found, "predicted": [predicted]})
