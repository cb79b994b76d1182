"""What all scripts here share: they get the lake and a folder, and write down what every rank saw."""

import json
import sys
import warnings
from pathlib import Path

from spora_db import SporaQuery

warnings.simplefilter("ignore")
LAKE, OUT = sys.argv[1], Path(sys.argv[2])
BATCH = 7


def dataset(lake=LAKE):
    """Return 89 tiles, which two ranks cannot share evenly."""
    query = SporaQuery(lake).modality("imc").tiles(size=32)
    return query.where("NOT (tissue_id = 'alpha_0000' AND tile_id = 0)").to_torch()


def keys(batch):
    return [f"{d}/{t}/{int(i)}" for d, t, i in zip(batch["dataset"], batch["tissue_id"], batch["tile_id"], strict=True)]


def tell(rank, found):
    (OUT / f"{rank}.json").write_text(json.dumps(found))
