"""Trains nothing, in the frameworks that people train with, and writes down which rows every rank got.

`python trainers.py LAKE OUT FRAMEWORK [slow]` runs the `jobs` of a framework one by one: it imports the framework once,
and forks a process per rank, which talk by gloo on loopback.
"""

import importlib
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from spora_db import PanelBatchSampler, SporaQuery, TileSampler, collate_padded

BATCH = 7
EPOCHS = 3
STOPS = (1, 3, "last")
QUERY = "NOT (tissue_id = 'alpha_0000' AND tile_id = 0)"  # 89 rows: neither 2 nor 3 ranks get equally many


class Stopped(Exception):
    """The run is broken off here."""


class Job(NamedTuple):
    """One run of a framework on some ranks, with loaders of all kinds; what it saved is what another resumes."""

    framework: str
    world_size: int
    resumes: "Job | None" = None

    @property
    def name(self) -> str:
        before = f"-after-{self.resumes.world_size}" if self.resumes else ""
        return f"{self.framework}-{self.world_size}{before}"


class Case(NamedTuple):
    """A kind of loader, its workers, and after which batch of the second epoch it stops; None runs to the end."""

    kind: str
    workers: int
    stop: object

    @property
    def whole(self) -> "Case":
        return self._replace(stop=None)


class Found(NamedTuple):
    """What one rank got: batches of rows by epoch; and the length that its loader said it had."""

    rows: dict[int, list[list[str]]]
    steps: int


def dataset(lake: str) -> Any:
    return SporaQuery(lake).modality("imc").tiles(size=32).where(QUERY).to_torch()


def keys(batch: Any) -> list[str]:
    if isinstance(batch, list):
        return [f"{s['dataset']}/{s['tissue_id']}/{s['tile_id']}" for s in batch]
    return [f"{d}/{t}/{int(i)}" for d, t, i in zip(batch["dataset"], batch["tissue_id"], batch["tile_id"], strict=True)]


# ---- loaders, as people make them ----


def ours(collate: str) -> Callable[[Any, int], Any]:
    return lambda data, workers: data.loader(BATCH, collate=collate, num_workers=workers, start_method="fork")


def plain(data: Any, workers: int) -> Any:
    order = TileSampler(data, block=BATCH)
    return DataLoader(data, batch_size=BATCH, sampler=order, num_workers=workers, collate_fn=collate_padded)


def panels(data: Any, workers: int) -> Any:
    batches = PanelBatchSampler(TileSampler(data), batch_size=BATCH)
    return DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=collate_padded)


def stateful(data: Any, workers: int) -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    return StatefulDataLoader(
        data, batch_size=BATCH, sampler=TileSampler(data, block=BATCH), num_workers=workers, collate_fn=list
    )


def stateful_panels(data: Any, workers: int) -> Any:
    from torchdata.stateful_dataloader import StatefulDataLoader

    batches = PanelBatchSampler(TileSampler(data), batch_size=BATCH)
    return StatefulDataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=list)


SPORA = {collate: ours(collate) for collate in ("padded", "packed", "list", "panel")}
KINDS: dict[str, dict[str, Callable[[Any, int], Any]]] = {
    "loop": {**SPORA, "plain": plain, "plain_panels": panels, "stateful": stateful, "stateful_panels": stateful_panels},
    "lightning": {**SPORA, "plain": plain, "stateful": stateful},
    "accelerate": {**SPORA, "plain": plain},
    "transformers": {"padded": SPORA["padded"], "panel": SPORA["panel"]},
}
FORGET = {"loop": ("plain", "plain_panels"), "lightning": ("plain",)}
"""Kinds that have no state in a framework: Lightning says so itself."""
WITH_WORKERS = ("padded", "panel", "plain", "plain_panels", "stateful")
"""Kinds that are run with worker processes too."""
SAME_RANKS = {"lightning": ("stateful",), "accelerate": ("plain",), "transformers": ("padded", "panel")}
"""Kinds that a framework resumes by counting steps, so on equally many ranks only."""


# ---- frameworks: each runs epochs over a loader, tells what it got, and stops, saves or resumes as it does ----


class Diary:
    """What one rank got: rows by epoch and step; where to stop."""

    def __init__(self, stop: tuple[int, int] | None) -> None:
        self.stop = stop
        self.rows: dict[int, list[list[str]]] = {}

    def note(self, epoch: int, batch: Any) -> bool:
        """Note a batch; return whether the run stops after it."""
        self.rows.setdefault(epoch, []).append(keys(batch))
        return self.stop is not None and (epoch, len(self.rows[epoch])) == self.stop


def loop(loader: Any, diary: Diary, saved: Path, resume: bool) -> None:
    start = 0
    if resume:
        state = torch.load(saved, weights_only=False)
        start = state["epoch"]
        loader.load_state_dict(state["loader"])
    for epoch in range(start, EPOCHS):
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        for batch in loader:
            if diary.note(epoch, batch):
                if dist.get_rank() == 0:
                    torch.save({"epoch": epoch, "loader": loader.state_dict()}, saved)
                dist.barrier()
                return


def lightning(loader: Any, diary: Diary, saved: Path, resume: bool) -> None:
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            self.stops = diary.note(self.trainer.current_epoch, batch)
            return self.layer(torch.zeros(1, 1)).sum()

        def on_train_batch_end(self, *_: object) -> None:
            if self.stops:
                self.trainer.save_checkpoint(saved)
                raise Stopped

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 1e-9)

    ranks = dist.get_world_size() if dist.is_initialized() else int(os.environ["WORLD_SIZE"])
    trainer = L.Trainer(
        accelerator="cpu", devices=ranks, strategy="ddp", max_epochs=EPOCHS, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, default_root_dir=saved.parent,
    )  # fmt: skip
    try:
        trainer.fit(Module(), loader, ckpt_path=saved if resume else None, weights_only=False if resume else None)
    except Stopped:
        dist.barrier()


def accelerate(loader: Any, diary: Diary, saved: Path, resume: bool) -> None:
    from accelerate import Accelerator, skip_first_batches

    accelerator = Accelerator(cpu=True)
    loader, start, skip = accelerator.prepare(loader), 0, 0
    remembers = hasattr(loader, "remaining")  # ours; others are skipped to where they were, as accelerate's guide says
    if resume:
        start, skip = torch.load(saved.with_suffix(".place"))
        accelerator.load_state(saved)
    for epoch in range(start, EPOCHS):
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        batches = skip_first_batches(loader, skip) if skip and not remembers else loader
        skip = 0
        for batch in batches:
            if diary.note(epoch, batch):
                accelerator.save_state(saved)
                torch.save((epoch, len(diary.rows[epoch])), saved.with_suffix(".place"))
                accelerator.wait_for_everyone()
                return


def transformers(loader: Any, diary: Diary, saved: Path, resume: bool) -> None:
    from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

    class Model(PreTrainedModel):
        config_class = PretrainedConfig
        main_input_name = "image"

        def __init__(self, config: PretrainedConfig) -> None:
            super().__init__(config)
            self.layer = torch.nn.Linear(1, 1)
            self.post_init()

        def forward(self, **batch: Any) -> dict[str, torch.Tensor]:
            self.stops = diary.note(int(trainer.state.epoch), batch)
            return {"loss": self.layer(torch.zeros(1, 1)).sum()}

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if model.stops:
                control.should_save = control.should_training_stop = True
            return control

    class Ours(Trainer):
        def get_train_dataloader(self) -> Any:
            return loader

    model = Model(PretrainedConfig())
    arguments = TrainingArguments(
        output_dir=str(saved), num_train_epochs=EPOCHS, use_cpu=True, report_to=[], save_strategy="no",
        disable_tqdm=True, remove_unused_columns=False, logging_strategy="no",
    )  # fmt: skip
    trainer = Ours(model=model, args=arguments, train_dataset=loader.dataset, callbacks=[Stop()])
    trainer.train(resume_from_checkpoint=bool(resume))


RUNNERS = {"loop": loop, "lightning": lightning, "accelerate": accelerate, "transformers": transformers}


# ---- jobs ----

QUICK = {"loop": ((1, 2), ((2, 2), (2, 1)))}
"""On how many ranks a framework runs; and on how many it is stopped and then resumed."""
SLOW = {
    "loop": ((2, 3), ((2, 3),)),
    "lightning": ((1, 2, 3), ((2, 2), (2, 1), (2, 3))),
    "accelerate": ((1, 2, 3), ((2, 2), (2, 1), (2, 3))),
    "transformers": ((2,), ((2, 2),)),  # which counts steps
}


def cases(job: Job) -> Iterator[Case]:
    framework, resumes = job.framework, job.resumes
    other = resumes is not None and resumes.world_size != job.world_size
    for kind in KINDS[framework]:
        stateless = kind in FORGET.get(framework, ()) or (other and kind in SAME_RANKS.get(framework, ()))
        for workers in (0, 2) if kind in WITH_WORKERS else (0,):
            if not resumes:
                yield Case(kind, workers, None)
            if not stateless:
                yield from (Case(kind, workers, stop) for stop in (STOPS if workers == 0 else STOPS[1:2]))


def work(job: Job, rank: int, lake: str, out: Path) -> None:
    """Run all cases of a job as one rank."""
    data, found, first = dataset(lake), {}, job.resumes or job
    for case in cases(job):
        kind, workers, stop = case
        loader = KINDS[job.framework][kind](data, workers)  # the first is made before ranks are known, as scripts do
        if not dist.is_initialized():
            dist.init_process_group("gloo", rank=rank, world_size=job.world_size)
        steps = len(loader)
        at = None if stop is None or job.resumes else (1, steps if stop == "last" else stop)
        saved, diary = out / f"{first.name}-{kind}-{workers}-{stop}", Diary(at)
        RUNNERS[job.framework](loader, diary, saved, job.resumes is not None)
        found[tuple(case)] = (diary.rows, steps)  # the classes are those of a script here, which nobody unpickles
    (out / f"{job.name}.{rank}.pickle").write_bytes(pickle.dumps(found))


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def forked(job: Job, rank: int, lake: str, out: Path, address: str) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        torch.set_num_threads(1)
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=address, RANK=str(rank), LOCAL_RANK=str(rank), NODE_RANK="0",
            WORLD_SIZE=str(job.world_size), LOCAL_WORLD_SIZE=str(job.world_size), ACCELERATE_USE_CPU="true",
            HF_HUB_OFFLINE="1",
        )  # fmt: skip
        work(job, rank, lake, out)
        status = 0
    except BaseException:  # noqa: BLE001 - the parent tells it
        (out / f"{job.name}.{rank}.error").write_text(traceback.format_exc())
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where torch tells of workers that end
        for worker in multiprocessing.active_children():  # of loaders that were stopped: they may hang
            worker.kill()
        os._exit(status)


def jobs(framework: str, *, slow: bool) -> list[Job]:
    """Return the runs of a framework, those that are quick or those that are slow."""
    ranks, resumed = (SLOW if slow else QUICK).get(framework, ((), ()))
    whole = [Job(framework, world_size) for world_size in ranks]
    return whole + [Job(framework, after, Job(framework, before)) for before, after in resumed]


def main(lake: str, out: Path, framework: str, *, slow: bool) -> None:
    warnings.simplefilter("ignore")
    if framework != "loop":
        importlib.import_module(framework)
    for job in jobs(framework, slow=slow):
        address = port()
        ranks = {forked(job, rank, lake, out, address) for rank in range(job.world_size)}
        while ranks:
            rank, status = os.wait()
            ranks.discard(rank)
            if status:
                for other in ranks:  # which wait for that one
                    os.kill(other, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], slow=sys.argv[4:] == ["slow"])
