"""Checks a selection against a lake and fills in what the lake alone decides; errors list what exists."""

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from spora_db.catalog import Catalog
from spora_db.errors import ArgumentError, DatasetNotFoundError, QueryError, unknown
from spora_db.guard import check_predicate
from spora_db.layout.names import is_rgb
from spora_db.plan.cell_places import with_awaited_places
from spora_db.plan.channels import undelivered_channels
from spora_db.selection import Selection, StandardizationChoice
from spora_db.selection.cells import cell_table, check_cells
from spora_db.selection.compilation import Resolved
from spora_db.selection.group_checks import check_patients, check_split
from spora_db.selection.markers import Markers, check_macros, find_markers, naming
from spora_db.selection.masks import check_masks
from spora_db.selection.own_rows import distinct, holds_floats, own_rows, placed_as_rows_say
from spora_db.selection.quotas import with_known_quota
from spora_db.selection.repeatable import refuse_random
from spora_db.standardization.specs import RGB_PRESETS, Spec

TILINGS = """
    SELECT DISTINCT t.mpp, t.strategy, t.tile_size
    FROM source_tilings AS t
    WHERE EXISTS (
        SELECT 1 FROM images AS i
        WHERE i.dataset = t.dataset AND i.mpp = t.mpp AND list_contains($modalities, i.modality)
    )
    ORDER BY ALL
"""


PANEL_IMAGES = """
    SELECT row_number() OVER (ORDER BY i.dataset, i.modality, i.mpp, i.tissue_id) - 1 AS image,
        i.dataset, i.modality, i.mpp, i.tissue_id
    FROM images AS i
    SEMI JOIN source_panels AS p ON p.dataset = i.dataset AND p.modality = i.modality AND p.tissue_id = i.tissue_id
    WHERE list_contains($modalities, i.modality) AND i.mpp = $mpp
    ORDER BY image
"""


def resolve(selection: Selection, catalog: Catalog) -> Resolved:
    """Return the selection with modality, mpp and tile size known, and its conditions as checked trees.

    Raises
    ------
    UnknownNameError
        For a modality, resolution, split, column, channel or spec that the lake does not have.
    QueryError
        If there is no such tiling, a choice that was left open is not unique, or a condition is refused.
    TableError
        If selected rows cannot be divided or capped by their patient: it is not known, or is in several splits.
    """
    catalog.use_naming(naming(selection.channels))
    source, types = own_rows(selection, catalog)
    source_columns = tuple(types)
    selection = replace(selection, modalities=_modalities(selection, source, source_columns, catalog))
    if source is not None:
        selection = placed_as_rows_say(selection, source, types, catalog)
        if selection.unit == "tile" and selection.tile_size is None:
            selection = replace(selection, tile_size=_tiling(selection, catalog).tile_size)
    elif selection.unit == "tile":
        selection = _tiling(selection, catalog)
    selection = _resolution(selection, catalog)
    selection = replace(selection, standardization=_standardization(selection, catalog))
    cells = cell_table(selection.cell_source, catalog) if selection.unit == "cell" and source is None else None
    columns = source_columns or (cells.columns if cells else _columns(selection, catalog))
    sampling, choice = selection.sampling, selection.split_choice
    fractions = dict(choice.fractions) if choice else {}
    if fractions:
        columns = tuple(dict.fromkeys((*columns, "split")))
    by = sampling.by if sampling else ()
    for name in (*selection.columns, *by, *(("split",) if selection.splits else ())):
        if name not in columns:
            raise unknown("column", name, columns, where=f"the {selection.unit}s selected from")
    predicates = tuple(
        check_predicate(text, columns=columns, relations=catalog.relations) for text in selection.conditions
    )
    weight = None
    if sampling and sampling.weights is not None:
        weight = check_predicate(sampling.weights, columns=(*columns, "n_tiles"), relations=catalog.relations)
        refuse_random(weight, verb="sample(weights=)")
    for tree in predicates:
        refuse_random(tree, verb="where()")
    for split in selection.splits if fractions else ():
        if split not in fractions:
            raise unknown("split", split, fractions, where="fractions=")
    if not fractions:
        _check_splits(selection.splits, source, catalog)
    markers = _markers(selection, catalog)
    multiplex = [name for name in selection.modality_names if not is_rgb(name)]
    check_macros(predicates, selection.channels, multiplex, catalog)
    for modality in selection.modality_names:
        _check_spec(selection.standardization.parsed(modality), modality)
    undelivered = _undelivered(selection, markers, catalog)
    check_masks(selection, catalog)
    check_cells(selection, catalog)
    groups = [choice.group_column] if choice and fractions else []
    groups += ["patient_id"] if sampling and sampling.per_patient else []
    resolved = Resolved(
        selection=selection,
        predicates=predicates,
        weight=weight,
        source=source,
        source_columns=source_columns,
        tissue_columns=tuple(dict.fromkeys(name for name in groups if source and name not in source_columns)),
        split_of_floats=bool(fractions) and holds_floats(choice, types, catalog),
        cells=cells,
        markers=markers,
        undelivered=undelivered,
    )
    resolved = with_awaited_places(resolved, catalog)
    check_split(resolved, catalog)
    check_patients(resolved, catalog)
    return with_known_quota(resolved, catalog)


def _columns(selection: Selection, catalog: Catalog) -> tuple[str, ...]:
    if selection.unit == "tile":
        return catalog.columns("tiles")
    return tuple(dict.fromkeys(("dataset", "modality", "mpp", "tissue_id", *catalog.columns("tissues"))))


def _modalities(
    selection: Selection, source: exp.Query | None, source_columns: Sequence[str], catalog: Catalog
) -> tuple[tuple[str, ...], ...]:
    existing = _existing_modalities(catalog)
    if not existing:
        raise DatasetNotFoundError(
            f"{catalog.lake}: no dataset here has an image. "
            "Expected files <dataset>/<modality>/<mpp>/images/<tissue_id>.ome.zarr or .ome.tiff."
        )
    if source is not None and "modality" in source_columns:
        given = distinct(source, "modality", catalog)
        for name in given:
            if name not in existing:
                raise unknown("modality", name, existing, where="the column modality of the rows")
    if not selection.modalities:
        if source is not None and "modality" in source_columns:
            existing = given
        if not existing:
            raise QueryError(
                "The rows are empty, so they do not say their modality. Name it with .modality(...), or look why the "
                "SELECT or table has no rows."
            )
        if len(existing) > 1:
            either = ", ".join(map(repr, existing))
            raise QueryError(
                f"Which modality? There are: {', '.join(existing)}. Choose one with .modality({existing[0]!r}), rows "
                f"of either with a tuple, .modality(({either})), or an image of each at the same place with "
                f".modality({either})."
            )
        return ((existing[0],),)
    where = f"lake {str(catalog.lake)!r}"
    found = tuple(tuple(_spelled(name, existing, where) for name in names) for names in selection.modalities)
    flat = [name for names in found for name in names]
    if len(set(flat)) != len(flat):
        raise ArgumentError(f"modality() names a modality twice: {', '.join(flat)}.")
    return found


def _existing_modalities(catalog: Catalog) -> list[str]:
    return [row[0] for row in catalog._run("SELECT DISTINCT modality FROM images ORDER BY 1").fetchall()]


def _spelled(name: str, existing: Sequence[str], where: str) -> str:
    """Return a modality as the lake spells it: exactly so, or in another letter case if only one is spelled like it."""
    alike = [other for other in existing if other.casefold() == name.casefold()]
    if name in alike:
        return name
    if not alike:
        raise unknown("modality", name, existing, where=where)
    if len(alike) > 1:
        raise QueryError(f"Which modality is {name!r} in {where}? There are: {', '.join(alike)}. Spell it as one is.")
    return alike[0]


def _standardization(selection: Selection, catalog: Catalog) -> StandardizationChoice:
    """Spell the modalities that specs are for as the query does; a spec for another one of the lake has no effect."""
    choice, specs = selection.standardization, []
    for modality, spec in choice.specs:
        if modality is None or modality in selection.modality_names:
            specs.append((modality, spec))
            continue
        known = list(dict.fromkeys((*selection.modality_names, *_existing_modalities(catalog))))
        specs.append((_spelled(modality, known, "standardize()"), spec))
    return replace(choice, specs=tuple(specs))


def _resolution(selection: Selection, catalog: Catalog) -> Selection:
    rows = catalog._run(
        "SELECT DISTINCT mpp FROM images WHERE list_contains($modalities, modality) ORDER BY 1",
        {"modalities": list(selection.modality_names)},
    ).fetchall()
    existing = [float(row[0]) for row in rows]
    if selection.mpp is None:
        if len(existing) > 1:
            raise QueryError(
                f"The images of {', '.join(selection.modality_names)} exist at several resolutions "
                f"({', '.join(map(str, existing))} mpp); choose one with mpp=."
            )
        return replace(selection, mpp=existing[0])
    if selection.mpp not in existing:
        raise unknown(
            "resolution (mpp)", selection.mpp, existing, where=f"the images of {', '.join(selection.modality_names)}"
        )
    return selection


def _tiling(selection: Selection, catalog: Catalog) -> Selection:
    """Find the one tiling (mpp, strategy, tile size) that the selection means."""
    strategy = selection.strategy or "default"
    tilings = catalog._run(TILINGS, {"modalities": list(selection.modality_names)}).fetchall()
    fitting = [
        (mpp, size)
        for mpp, name, size in tilings
        if name == strategy and selection.mpp in (None, mpp) and selection.tile_size in (None, size)
    ]
    existing = "; ".join(f"size={size}, mpp={mpp}, strategy={name!r}" for mpp, name, size in tilings)
    if not fitting:
        found = f"There are: {existing}." if existing else "There is none yet."
        raise QueryError(
            f"No tiling with size={selection.tile_size}, mpp={selection.mpp}, strategy={strategy!r} for the images of "
            f"{', '.join(selection.modality_names)} in {catalog.lake}. {found} Make one with: "
            f"spora-db tile {catalog.lake} --tile-size {selection.tile_size or 224} --mpp {selection.mpp or 1.0} "
            f"--strategy {strategy}"
        )
    if len(fitting) > 1:
        raise QueryError(f"Several tilings fit; choose one with .tiles(size=, mpp=, strategy=). There are: {existing}.")
    mpp, size = fitting[0]
    return replace(selection, mpp=float(mpp), tile_size=int(size), strategy=strategy)


def _check_spec(spec: Spec, modality: str) -> None:
    """Refuse statistics of a panel for brightfield images, and brightfield presets for a panel."""
    text = str(spec)
    if is_rgb(modality) and spec.needs_statistics:
        raise ArgumentError(
            f"Standardization {text!r} needs channel statistics, which {modality} images have not. Use 'imagenet', "
            f"'hibou' or 'identity', or a mapping such as .standardize({{{modality!r}: 'imagenet', 'imc': {text!r}}})."
        )
    if not is_rgb(modality) and spec.method in RGB_PRESETS and spec.method != "identity":
        raise ArgumentError(
            f"Standardization {text!r} is for brightfield images, not for {modality}. Use 'identity', "
            "'quantile_clipping/uq_0.99_image' or another spec in: SELECT DISTINCT spec FROM standardization_stats."
        )


def _check_splits(splits: Sequence[str], source: exp.Query | None, catalog: Catalog) -> None:
    if splits:
        rows = source or exp.select("split").from_("tissues")
        existing = distinct(rows, "split", catalog)
        for split in splits:
            if split not in existing:
                raise unknown("split", split, existing, where=f"lake {str(catalog.lake)!r}")


def _undelivered(selection: Selection, markers: Markers | None, catalog: Catalog) -> tuple[str, ...]:
    """Return the keys of channels that tissues are asked for and measured, but that statistics drop."""
    asked, choice = selection.channels, selection.standardization
    if markers is None or not (asked.require or asked.any_of or asked.at_least) or choice.missing_statistics == "defer":
        return ()
    modalities = [
        name for name in selection.modality_names if not is_rgb(name) and choice.parsed(name).needs_statistics
    ]
    if not modalities or (choice.disable_quantile_mask and choice.missing_statistics != "drop_channel"):
        return ()
    wanted = None
    if asked.any_of or asked.at_least is None:
        chosen = markers.chosen((*asked.require, *asked.any_of))
        wanted = {(channel.dataset, channel.modality, channel.channel_name) for channel in chosen}
    images = catalog._run(PANEL_IMAGES, {"modalities": modalities, "mpp": selection.mpp}).to_arrow_table()
    unlimited = replace(selection, channels=replace(asked, names=(), exclude=()) if wanted is not None else asked)
    return tuple(undelivered_channels(unlimited, images, catalog, wanted=wanted))


def _markers(selection: Selection, catalog: Catalog) -> Markers | None:
    """Return the channels that the names of markers mean; nothing where no tissue and no channel is chosen by them."""
    choice = selection.channels
    if not (choice.names or choice.require or choice.any_of or choice.exclude or choice.at_least):
        return None
    multiplex = [name for name in selection.modality_names if not is_rgb(name)]
    if not multiplex:
        raise ArgumentError(
            f"channels() asks for markers, but {', '.join(selection.modality_names)} has no panel: its channels are "
            "red, green and blue."
        )
    return find_markers(choice, multiplex, catalog)
