"""Every recipe of CONTRIBUTING is carried out as it stands there, on a copy of the package, and its result is used."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lakes import write_lake

ROOT = Path(__file__).resolve().parents[1]
RECIPE = re.compile(r"^### (.+?)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(diff|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST = 10


def recipes() -> dict[str, tuple[str, str]]:
    """Return the one block of every recipe, with its language, by the recipe's title."""
    text = (ROOT / ".github/CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
    return {title: BLOCK.findall(body)[0] for title, body in RECIPE.findall(re.split(r"^## ", text, flags=re.M)[0])}


RECIPES = recipes()
USES = {
    "A marker rule": """
        counted = "n_markers(dataset, modality, tissue_id, ['anti-CD8'])"
        found = Catalog(lake).sql(f"SELECT DISTINCT {counted} FROM images WHERE modality = 'imc'")
        assert found.fetchall() == [(1,)]
        query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1).channels(names=["anti-CD8"])
        assert query.to_torch()[0]["channel_names"] == ["CD8"]
    """,
    "A panel rule": """
        query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1).channels(kind="identified")
        assert query.to_torch()[0]["channel_names"] == ["CD3e", "CD8", "Bad"]
    """,
    "A word of other panels": """
        Path("panel.csv").write_text("antibody\\nA\\nB\\n")
        assert [channel.name for channel in read_panel(Path("panel.csv"))[0]] == ["A", "B"]
    """,
    "A validation check": """
        path = lake / "alpha/metadata/tissues.parquet"
        tissues = pd.read_parquet(path)
        tissues["tissue_id"] = tissues["tissue_id"].replace("alpha_0000", "alpha 0000")
        tissues.to_parquet(path)
        [found] = {item for item in validate(lake) if item.rule == "tissue_spaces" and "imc" not in item.file}
        assert (found.severity, found.file) == ("note", "alpha/metadata/tissues.parquet")
        assert found.reason == "'alpha 0000' holds a space." and found.remedy.startswith("Rename the tissue;")
    """,
    "A modality": """
        pixels = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
        write_ometiff(Path("raw/a.ome.tiff"), pixels, mpp=1.0, channel_names=["DNA", "CD8"])
        import_dataset("raw", into=lake, dataset="new", modality="mxif", mpp=1.0, tissue_mask="full")
        tile_lake(lake, mpp=1, parameters=TilingParameters(tile_size=32, stride=32), dataset="new")
        spec = parse_spec("quantile_clipping/uq_0.99_image")
        standardize_lake(lake, modality="mxif", mpp=1, spec=spec, stats_level="image", dataset="new")
        assert not [item for item in validate(lake, dataset="new", deep=True) if item.severity == "error"]
        query = SporaQuery(lake).modality("mxif").tiles(size=32, mpp=1).standardize(str(spec))
        assert query.to_torch()[0]["image"].shape == (2, 32, 32)
        assert modality_name("mxif") == "MxIF"
        assert get_modality_from_str("MXIF").canonical_dir == "mxif"
    """,
    "An image format": """
        path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
        pixels = read_region(open_image(path))
        shutil.rmtree(path)
        path = write_ometiff(path.with_name("alpha_0000.ome.tiff"), pixels, mpp=1.0)
        path = path.rename(path.with_name("alpha_0000.gtiff"))
        np.testing.assert_array_equal(read_region(open_image(path)), pixels)
        query = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1).where("tissue_id = 'alpha_0000'")
        formats = Catalog(lake).sql("SELECT format FROM images WHERE tissue_id = 'alpha_0000' AND modality = 'imc'")
        assert formats.fetchall() == [("geotiff",)]
        assert query.to_torch()[0]["image"].shape == (5, 32, 32)
    """,
    "A codec": """
        import numcodecs
        import zarr

        path = lake / "alpha/imc/1_0mpp/images/alpha_0000.ome.zarr"
        pixels = read_region(open_image(path))
        shutil.rmtree(path)
        group = zarr.open_group(path, mode="w", zarr_format=2)
        group.create_array("0", data=pixels, chunks=(1, 32, 32), compressors=numcodecs.BZ2())
        zarr.open = zarr.open_array = zarr.open_group = None  # spora-db decodes it itself
        np.testing.assert_array_equal(read_region(open_image(path)), pixels)
    """,
    "A verb": """
        query = LungQuery(lake).modality("imc").tiles(size=32, mpp=1).lung().sample(5)
        assert isinstance(query, LungQuery) and query.count() == 5
        assert set(query.select("cancer_type").df()["cancer_type"]) == {"LUAD"}
    """,
    "A view column": """
        index_images(lake, beside=True)
        assert Catalog(lake).sql("SELECT DISTINCT pixels FROM images").fetchall() == [(96 * 96,)]
        assert SporaQuery(lake).modality("imc").tissues(mpp=1).count() == 8
    """,
    "A standardization": """
        name = "quantile_clipping_sqrt/uq_0.99_image"
        for dataset in ("alpha", "beta"):
            masks = lake / dataset / "segmentations/1_0mpp/tissue_masks"
            masks.mkdir(parents=True)
            for path in (lake / dataset / "imc/1_0mpp/images").iterdir():
                np.savez(masks / f"{path.name.removesuffix('.ome.zarr')}.npz", mask=np.ones((96, 96), bool))
        standardize_lake(lake, modality="imc", mpp=1, spec=parse_spec(name), stats_level="image")
        sample = SporaQuery(lake).modality("imc").tiles(size=32, mpp=1).standardize(name).to_torch()[0]
        assert sample["spec"] == name and np.isfinite(np.asarray(sample["image"])).all()
    """,
    "A transform of albumentations": """
        for dataset in ("alpha", "beta"):
            masks = lake / dataset / "segmentations/1_0mpp/cell_masks/instances"
            masks.mkdir(parents=True)
            for i in range(4):
                np.savez(masks / f"{dataset}_{i:04d}.npz", mask=np.arange(96 * 96, dtype=np.int32).reshape(96, 96))
        query = SporaQuery(lake).modality("imc").tiles(size=32).with_masks("instances")
        check_draws(query, augment)
        masks = query.to_torch(transform=augment)[3]["masks"]
        assert masks["instances"].dtype == torch.int32 and masks["instances"].shape == (32, 32)
    """,
    "A transform of torchvision or kornia": """
        state = torch.get_rng_state()
        check_draws(SporaQuery(lake).modality("imc").tiles(size=32), augment)
        assert torch.equal(torch.get_rng_state(), state)
    """,
    "A command": """
        command = [sys.executable, "-m", "spora_db.cli", "count", str(lake)]
        assert subprocess.run(command, capture_output=True, text=True).stdout == "72 tiles\\n"
        told = subprocess.run([*command[:3], "--help"], capture_output=True, text=True).stdout
        assert "count" in told and "Tell how many tiles a lake has." in told
    """,
}
"""By recipe, what is done with the thing it adds."""
IMPORTS = """
import shutil, subprocess, sys
from pathlib import Path
import numpy as np
import pandas as pd
from spora_db import Catalog, SporaQuery
from spora_db.datasets.modalities import get_modality_from_str
from spora_db.drawing.overview import modality_name
from spora_db.images import open_image, read_region, write_ometiff
from spora_db.importing import import_dataset
from spora_db.importing.panel import read_panel
from spora_db.jobs import standardize_lake, tile_lake
from spora_db.jobs.indexing import index_images
from spora_db.standardization.specs import parse_spec
from spora_db.tiling import TilingParameters
from spora_db.validation import validate
import torch
lake = Path("lake")

def check_draws(query, augment):
    plain, changed = query.to_torch(), query.to_torch(transform=augment)
    images = [[dataset[row]["image"] for row in range(8)] for dataset in (plain, changed, changed)]
    assert all(map(torch.equal, images[1], images[2])) and not all(map(torch.equal, images[0], images[1]))
    assert {image.shape for image in images[1]} == {(5, 32, 32)}
"""
FORKS = """
import json, os, traceback

codes = {}
for title, (folder, text) in json.load(sys.stdin).items():
    if not (child := os.fork()):  # everything is imported
        os.chdir(folder)
        out = os.open("told", os.O_CREAT | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = 1
        try:
            exec(compile(text, title, "exec"), {**globals(), "__name__": "__main__"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    codes[title] = os.waitpid(child, 0)[1]
print(json.dumps(codes))
"""
STAND_INS = {
    "albumentations": """
        import numpy as np
        class ElasticTransform:
            def __init__(self, p): ...
        class Compose:
            def __init__(self, transforms): ...
            def set_random_seed(self, seed): self.rng = np.random.default_rng(seed)
            def __call__(self, *, image, mask):
                rows = self.rng.permutation(len(image))
                return {"image": image[rows], "mask": mask[rows]}
    """,
    "torchvision": """
        import torch
        def GaussianBlur(kernel_size): return lambda image: image * torch.rand(())
        def GaussianNoise(*, sigma, clip): return lambda image: image + sigma * torch.randn_like(image)
        class Compose:
            def __init__(self, transforms): self.transforms = transforms
            def __call__(self, image):
                for transform in self.transforms:
                    image = transform(image)
                return image
    """,
}
"""What is called like a library of a recipe that is not installed, as its documentation says."""


def carry_out(block: str, folder: Path) -> None:
    """Change the file that a block names: lines without ``+`` stand there once; those without ``-`` replace them."""
    first, _, rest = block.partition("\n")
    path = folder / first.removeprefix("+++ ")
    text = path.read_text() if path.exists() else ""
    for hunk in rest.split("@@\n"):
        before, after = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] != mark) for mark in "+-")
        assert text.count(before) == 1 if path.exists() else not before, f"{path} does not hold once:\n{before}"
        text = text.replace(before, after) if before else after
    path.write_text(text)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its SQL with all recipes that change files carried out."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("spora_db", "sql"):
        shutil.copytree(ROOT / name, folder / name)
    for language, block in RECIPES.values():
        if language == "diff":
            carry_out(block, folder)
    return folder


def test_recipes_have_at_most_ten_lines_and_a_use() -> None:
    assert set(RECIPES) == set(USES)
    assert {title: len(block.splitlines()) for title, (_, block) in RECIPES.items() if block.count("\n") > MOST} == {}


@pytest.fixture(scope="module")
def told(
    package: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, tuple[int, str]]:
    """Use every recipe that is tried in a folder and a process of its own; return how each ended, and what it said."""
    cases = (getattr(item, "callspec", None) for item in request.session.items)
    tried = {case.params.get("title") for case in cases if case}
    scripts = {}
    for title, (language, block) in RECIPES.items():
        if title not in tried:
            continue
        folder = tmp_path_factory.mktemp("recipe")
        write_lake(folder / "lake")
        for name, text in STAND_INS.items():
            if importlib.util.find_spec(name) is None:
                path = folder / (f"{name}.py" if name == "albumentations" else f"{name}/transforms/v2.py")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
        use = re.sub(r"^ {8}", "", USES[title], flags=re.MULTILINE)
        scripts[title] = str(folder), "\n".join((block if language == "python" else "", use))
    ran = subprocess.run(
        [sys.executable, "-c", IMPORTS + FORKS], input=json.dumps(scripts), cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    codes = json.loads(ran.stdout)
    return {title: (codes[title], (Path(folder) / "told").read_text()) for title, (folder, _) in scripts.items()}


@pytest.mark.some(3)
@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_adds_what_it_says(title: str, told: dict[str, tuple[int, str]]) -> None:
    code, said = told[title]
    assert code == 0, said
