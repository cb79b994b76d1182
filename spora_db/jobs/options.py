"""How a run over a lake is carried out."""

from dataclasses import dataclass, field

from spora_db.errors import ArgumentError
from spora_db.jobs.engines import Engine
from spora_db.jobs.progress import Progress, Quiet
from spora_db.jobs.units import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out; nothing here changes a result.

    Attributes
    ----------
    jobs
        Units at a time.
    engine
        ``"local"`` or ``"ray"``.
    shard
        The part of the tissues that this run does; the files are then made by a run with ``merge``.
    merge
        Make the files from results that shards have left, and refuse where a shard has not run.
    overwrite
        Replace files that are there.
    keep_going
        Make the files although tissues failed, with the failures recorded beside them.
    keep_existing
        Leave files that are there as they are, where nothing speaks against it, even if there is nothing to make.
    progress
        Told what happens.
    """

    jobs: int = 1
    engine: Engine = "local"
    shard: Shard | None = None
    merge: bool = False
    overwrite: bool = False
    keep_going: bool = False
    keep_existing: bool = False
    progress: Progress = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        """Refuse choices that contradict each other."""
        if self.merge and self.shard is not None:
            raise ArgumentError("--merge comes after all shards, without --shard; received both.")
