"""Tissues and tiles drawn at random from the rows of a `SporaDataset`."""

from abc import abstractmethod

import numpy as np

from spora_db.datasets.balance import BalancedSampler
from spora_db.datasets.cohort_rows import CohortRows, RowSample
from spora_db.datasets.groups import RowGroups, group_rows
from spora_db.datasets.indexes import IndexUnit
from spora_db.errors import ArgumentError

Mode = tuple[str, bool, str]
"""Kind, preprocess, image_mode."""


class RandomSamples(CohortRows):
    """The methods that draw; part of :class:`SporaDataset`."""

    def sample_random(
        self, *, kind: str | None = None, preprocess: bool | None = None, image_mode: str | None = None
    ) -> RowSample:
        """Return a random tile or tissue, whichever this dataset is of; see `seed` and `balance`.

        Parameters
        ----------
        kind, preprocess, image_mode
            As :meth:`BaseImagingDataset.get_tissue`; left out, as the dataset was made.

        Returns
        -------
        dict
            As `get_tile_sample` or `get_tissue_sample`.

        Raises
        ------
        ArgumentError
            If no row is left to draw from.

        See Also
        --------
        SporaDataset.sample_random_tile, SporaDataset.sample_random_tissue

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> sorted(dataset.sample_random()["modalities"])
        ['he', 'imc']
        """
        return self._random(self.sampling_unit, self._mode(kind, image_mode, preprocess=preprocess))

    def sample_random_tissue(
        self, *, kind: str | None = None, preprocess: bool | None = None, image_mode: str | None = None
    ) -> RowSample:
        """Return a random tissue; see `seed` and `balance`.

        Parameters
        ----------
        kind, preprocess, image_mode
            As `sample_random`.

        Returns
        -------
        dict
            As `get_tissue_sample`.

        See Also
        --------
        SporaDataset.sample_random, SporaDataset.set_epoch

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> sorted(dataset.sample_random_tissue())
        ['dataset_name', 'modalities', 'tissue_id']
        """
        return self._random("tissues", self._mode(kind, image_mode, preprocess=preprocess))

    def sample_random_tile(
        self, *, kind: str | None = None, preprocess: bool | None = None, image_mode: str | None = None
    ) -> RowSample:
        """Return a random tile; see `seed` and `balance`.

        Parameters
        ----------
        kind, preprocess, image_mode
            As `sample_random`.

        Returns
        -------
        dict
            As `get_tile_sample`.

        Raises
        ------
        ArgumentError
            If this dataset is of tissues.

        See Also
        --------
        SporaDataset.sample_random, SporaDataset.set_epoch

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> dataset.sample_random_tile()["modalities"]["he"].image.shape
        torch.Size([3, 128, 128])
        """
        return self._random("tiles", self._mode(kind, image_mode, preprocess=preprocess))

    def set_epoch(self, epoch: int) -> None:
        """Make `sample_random` and its siblings draw the samples of another `epoch`, here and in workers to come.

        See Also
        --------
        SporaDataset.sampler, SporaDataset.sample_random

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> dataset.set_epoch(1)
        """
        self._draws.set_epoch(epoch)

    def sampler(self, num_samples: int | None = None) -> BalancedSampler:
        """Return a sampler for a DataLoader: `num_samples` positions, by default as many as there are rows.

        See Also
        --------
        BalancedSampler, SporaDataset.set_epoch

        Examples
        --------
        >>> from spora_db import SporaDataset
        >>> dataset = SporaDataset(["lung_imc"], datasets_dir="lake", tile_size=128, preprocess=False, seed=0)
        >>> len(dataset.sampler(num_samples=100))
        100
        """
        groups = self._grouped(self.sampling_unit)
        count = len(groups.order) if num_samples is None else num_samples
        return BalancedSampler(groups, num_samples=count, seed=self._draws.seed)

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this process; after assigning one, each worker draws from another made of it."""
        return self._draws.stream()

    @rng.setter
    def rng(self, generator: np.random.Generator) -> None:
        self._draws.use(generator)

    def _grouped(self, unit: IndexUnit) -> RowGroups:
        """Return the rows by the groups of `balance`, found anew where rows, metadata or `balance` have changed."""
        if unit not in self._rows:
            message = "This SporaDataset is of tissues; tiles need tile_size= and sampling_unit='tiles'."
            raise ArgumentError(message)
        frame = self._rows[unit].frame
        if not len(frame):
            message = f"There is no row left in the index of {unit} to draw from."
            raise ArgumentError(message)
        known = self._groups.get(unit)
        if known is None or not known.hold(frame, self._balance, self.datasets):
            known = self._groups[unit] = group_rows(frame, self._balance, self.datasets)
        return known

    def _random(self, unit: IndexUnit, mode: Mode) -> RowSample:
        return self._sample(unit, int(self._grouped(unit).draw(self._draws.stream(), 1)[0]), mode)

    def _mode(self, kind: str | None, image_mode: str | None, *, preprocess: bool | None) -> Mode:
        """Fill in what is delivered unless a call says otherwise."""
        return kind or self.kind, self.preprocess if preprocess is None else preprocess, image_mode or self.image_mode

    @abstractmethod
    def _sample(self, unit: IndexUnit, position: int, mode: Mode) -> RowSample:
        """Return the tile or tissue of one row."""
