"""Ray Train, which fetches a batch ahead: a whole run, and one that was broken off in the second epoch and resumed."""

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)


def epochs(ours, *, stop=None, first=0):
    """Train from an epoch to the third, or to a batch of the second; return batches by epoch, and the state there."""
    from ray.train.torch import prepare_data_loader
    from shared import keys

    loader, trained = prepare_data_loader(ours), [[], [], []]
    for epoch in range(first, 3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            trained[epoch].append(keys(batch))
            if epoch == 1 and len(trained[1]) == stop:
                return trained, ours.state_dict()
    return trained, None


def train(config):
    sys.argv[1:], sys.path[:] = config["arguments"], [config["here"], *sys.path]
    import ray.train
    from shared import BATCH, dataset, tell

    data, found = dataset(), {}
    found["whole"], _ = epochs(data.loader(BATCH))
    for stop in (3, 7):
        before, state = epochs(data.loader(BATCH), stop=stop)
        resumed = data.loader(BATCH)
        resumed.load_state_dict(state)
        after, _ = epochs(resumed, first=1)
        found[f"resumed after {stop}"] = [a + b for a, b in zip(before, after, strict=True)]
    tell(ray.train.get_context().get_world_rank(), found)


if __name__ == "__main__":
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="error")
    TorchTrainer(
        train,
        train_loop_config={"arguments": sys.argv[1:], "here": HERE},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=f"{sys.argv[2]}/ray"),
    ).fit()
    ray.shutdown()
