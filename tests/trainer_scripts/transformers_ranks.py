"""transformers resumes a checkpoint of one process, and one that looks as two processes leave it."""

import shutil

import torch
from shared import BATCH, OUT, dataset, keys, tell
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from spora_db import SporaError


class Model(PreTrainedModel):
    config_class = PretrainedConfig

    def __init__(self, config):
        super().__init__(config)
        self.layer, self.rows = torch.nn.Linear(1, 1), []
        self.post_init()

    def forward(self, **batch):
        self.rows.append(keys(batch))
        return {"loss": self.layer(torch.zeros(1, 1)).sum()}


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        control.should_save = control.should_training_stop = state.global_step == 3
        return control


class Ours(Trainer):
    def get_train_dataloader(self):
        return self.train_dataset.loader(BATCH)


def train(*callbacks, **options):
    arguments = TrainingArguments(
        output_dir=str(OUT / "model"), num_train_epochs=1, use_cpu=True, report_to=[], save_strategy="no",
        logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
    )  # fmt: skip
    model = Model(PretrainedConfig())
    Ours(model=model, args=arguments, train_dataset=dataset(), callbacks=list(callbacks)).train(**options)
    return model.rows


whole, begun = train(), train(Stop())
checkpoint = OUT / "model/checkpoint-3"
resumed = train(resume_from_checkpoint=str(checkpoint))
shutil.copy(checkpoint / "rng_state.pth", checkpoint / "rng_state_0.pth")
(checkpoint / "rng_state.pth").rename(checkpoint / "rng_state_1.pth")
try:
    error = f"resumed: {train(resume_from_checkpoint=str(checkpoint))[:1]}"
except SporaError as refused:
    error = str(refused)
for rank in (0, 1):
    tell(rank, {"whole": whole, "resumed": begun + resumed, "error": error})
