"""What the demo lake is made of: regions, cell types, markers and the two cohorts. Tables only, no pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Site = Literal["nucleus", "membrane", "cytoplasm", "matrix"]
DemoModality = Literal["imc", "codex"]

EMPTY, STROMA, TUMOUR, EPITHELIUM, LYMPHOID, MANTLE, DARK_ZONE, LIGHT_ZONE, VESSEL, LUMEN = range(10)

# Mean distance between neighbouring cells in microns, by region.
SPACING: Mapping[int, float] = {
    STROMA: 12.0,
    TUMOUR: 10.2,
    EPITHELIUM: 9.2,
    LYMPHOID: 7.4,
    MANTLE: 6.6,
    DARK_ZONE: 7.6,
    LIGHT_ZONE: 8.4,
    VESSEL: 7.5,
}

# Shares of the cell types that populate a region.
COMPOSITION: Mapping[int, Mapping[str, float]] = {
    STROMA: {
        "Fibroblast": 0.58,
        "Macrophage": 0.13,
        "CD4 T cell": 0.08,
        "CD8 T cell": 0.06,
        "Endothelial cell": 0.07,
        "Plasma cell": 0.08,
    },
    TUMOUR: {"Tumour cell": 0.89, "CD8 T cell": 0.05, "Macrophage": 0.05, "CD4 T cell": 0.01},
    EPITHELIUM: {"Epithelial cell": 0.9, "CD8 T cell": 0.06, "B cell": 0.04},
    LYMPHOID: {
        "CD4 T cell": 0.47,
        "CD8 T cell": 0.24,
        "Regulatory T cell": 0.08,
        "B cell": 0.11,
        "Macrophage": 0.06,
        "Fibroblast": 0.04,
    },
    MANTLE: {"B cell": 0.93, "CD4 T cell": 0.05, "Macrophage": 0.02},
    DARK_ZONE: {"Germinal centre B cell": 0.93, "Macrophage": 0.07},
    LIGHT_ZONE: {
        "Germinal centre B cell": 0.5,
        "Follicular dendritic cell": 0.25,
        "Follicular T cell": 0.21,
        "Macrophage": 0.04,
    },
    VESSEL: {"Endothelial cell": 0.4, "Smooth muscle cell": 0.6},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellType:
    """Shape and H&E look of one cell type; lengths in microns."""

    name: str
    nucleus: float
    elongation: float = 1.15
    reach: float = 1.6
    haematoxylin: float = 1.0
    eosin: float = 0.5


CELL_TYPES: tuple[CellType, ...] = (
    CellType(name="B cell", nucleus=2.9, reach=1.5, haematoxylin=1.35, eosin=0.3),
    CellType(name="CD4 T cell", nucleus=2.8, reach=1.5, haematoxylin=1.4, eosin=0.3),
    CellType(name="CD8 T cell", nucleus=2.8, reach=1.5, haematoxylin=1.4, eosin=0.3),
    CellType(name="Endothelial cell", nucleus=2.6, elongation=2.2, reach=1.6, haematoxylin=1.1, eosin=0.6),
    CellType(name="Epithelial cell", nucleus=3.1, elongation=1.3, reach=1.9, haematoxylin=0.95, eosin=0.95),
    CellType(name="Fibroblast", nucleus=2.6, elongation=2.7, reach=1.7, haematoxylin=1.0, eosin=0.75),
    CellType(name="Follicular T cell", nucleus=2.9, reach=1.5, haematoxylin=1.3, eosin=0.3),
    CellType(name="Follicular dendritic cell", nucleus=3.3, elongation=1.5, reach=2.3, haematoxylin=0.55, eosin=0.45),
    CellType(name="Germinal centre B cell", nucleus=3.4, reach=1.45, haematoxylin=0.95, eosin=0.3),
    CellType(name="Macrophage", nucleus=3.1, elongation=1.3, reach=2.2, haematoxylin=0.75, eosin=0.55),
    CellType(name="Plasma cell", nucleus=2.8, reach=1.9, haematoxylin=1.3, eosin=0.75),
    CellType(name="Regulatory T cell", nucleus=2.8, reach=1.5, haematoxylin=1.4, eosin=0.3),
    CellType(name="Smooth muscle cell", nucleus=2.4, elongation=3.0, reach=1.8, haematoxylin=0.95, eosin=1.1),
    CellType(name="Tumour cell", nucleus=3.7, elongation=1.3, reach=1.85, haematoxylin=0.85, eosin=0.85),
)
TYPE_NAMES: tuple[str, ...] = tuple(cell.name for cell in CELL_TYPES)

T_CELLS = ("CD4 T cell", "CD8 T cell", "Regulatory T cell", "Follicular T cell")
B_CELLS = ("B cell", "Germinal centre B cell")
HELPERS = ("CD4 T cell", "Regulatory T cell", "Follicular T cell")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMarker:
    """Where a protein sits and which cell types express it; `positive` is the share of a type's cells that do."""

    site: Site
    expression: Mapping[str, float]
    positive: Mapping[str, float] = field(default_factory=dict)
    matrix: float = 0.0


_IMMUNE = dict.fromkeys((*T_CELLS, *B_CELLS), 1.0) | {"Macrophage": 0.7, "Plasma cell": 0.4}
MARKERS: Mapping[str, DemoMarker] = {
    "dna": DemoMarker(site="nucleus", expression={cell.name: 0.6 + 0.4 * cell.haematoxylin for cell in CELL_TYPES}),
    "cytokeratin": DemoMarker(site="cytoplasm", expression={"Tumour cell": 1.0, "Epithelial cell": 0.9}),
    "cadherin": DemoMarker(site="membrane", expression={"Tumour cell": 0.8, "Epithelial cell": 1.0}),
    "vimentin": DemoMarker(
        site="cytoplasm",
        expression={"Fibroblast": 1.0, "Endothelial cell": 0.9, "Macrophage": 0.6, "Smooth muscle cell": 0.5}
        | dict.fromkeys(T_CELLS, 0.25)
        | dict.fromkeys(("Follicular dendritic cell",), 0.4),
        matrix=0.12,
    ),
    "actin": DemoMarker(
        site="cytoplasm",
        expression={"Smooth muscle cell": 1.0, "Fibroblast": 0.75},
        positive={"Fibroblast": 0.3},
        matrix=0.06,
    ),
    "collagen": DemoMarker(site="matrix", expression={"Fibroblast": 0.3}, matrix=0.9),
    "CD31": DemoMarker(site="membrane", expression={"Endothelial cell": 1.0, "Macrophage": 0.06}),
    "CD45": DemoMarker(site="membrane", expression=_IMMUNE),
    "CD3": DemoMarker(site="membrane", expression=dict.fromkeys(T_CELLS, 1.0)),
    "CD4": DemoMarker(site="membrane", expression=dict.fromkeys(HELPERS, 1.0) | {"Macrophage": 0.25}),
    "CD8": DemoMarker(site="membrane", expression={"CD8 T cell": 1.0}),
    "FOXP3": DemoMarker(site="nucleus", expression={"Regulatory T cell": 1.0}),
    "CD20": DemoMarker(site="membrane", expression={"B cell": 1.0, "Germinal centre B cell": 0.75}),
    "CD21": DemoMarker(site="membrane", expression={"Follicular dendritic cell": 1.0, "B cell": 0.18}),
    "CD68": DemoMarker(site="cytoplasm", expression={"Macrophage": 1.0}),
    "HLA-DR": DemoMarker(
        site="membrane",
        expression={"Macrophage": 1.0, "Follicular dendritic cell": 0.6, "Tumour cell": 0.3}
        | dict.fromkeys(B_CELLS, 0.7),
        positive={"Tumour cell": 0.3},
    ),
    "PD-1": DemoMarker(
        site="membrane",
        expression={"Follicular T cell": 1.0, "CD4 T cell": 0.5, "CD8 T cell": 0.7, "Regulatory T cell": 0.4},
        positive={"CD4 T cell": 0.25, "CD8 T cell": 0.35},
    ),
    "Ki-67": DemoMarker(
        site="nucleus",
        expression=dict.fromkeys(TYPE_NAMES, 1.0),
        positive=dict.fromkeys(TYPE_NAMES, 0.03)
        | {"Germinal centre B cell": 0.75, "Tumour cell": 0.28, "Epithelial cell": 0.1},
    ),
    "noise": DemoMarker(site="cytoplasm", expression=dict.fromkeys(TYPE_NAMES, 0.02)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoChannel:
    """A row of channels.parquet; `gain` is the signal of a fully positive pixel (counts, or camera units)."""

    name: str
    marker: str
    gain: float
    uniprot_id: str | None = None
    qc_pass: bool = True
    is_nuclear_marker: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCohort:
    """One dataset of the demo lake; `absent` names the channel that the second tissue lacks."""

    name: str
    modality: DemoModality
    organ: Literal["lung", "tonsil"]
    diagnoses: tuple[str, ...]
    channels: tuple[DemoChannel, ...]
    absent: str
    full_panel_images: bool


LUNG = DemoCohort(
    name="lung_imc",
    modality="imc",
    organ="lung",
    diagnoses=("LUAD", "LUSC"),
    absent="PD-1",
    full_panel_images=False,
    channels=(
        DemoChannel(name="DNA1", marker="dna", gain=26, is_nuclear_marker=True),
        DemoChannel(name="DNA2", marker="dna", gain=45, is_nuclear_marker=True),
        DemoChannel(name="Histone H3", marker="dna", gain=18, uniprot_id="P68431", is_nuclear_marker=True),
        DemoChannel(name="panCK", marker="cytokeratin", gain=24, uniprot_id="P02533"),
        DemoChannel(name="E-Cadherin", marker="cadherin", gain=13, uniprot_id="P12830"),
        DemoChannel(name="Vimentin", marker="vimentin", gain=22, uniprot_id="P08670"),
        DemoChannel(name="SMA", marker="actin", gain=26, uniprot_id="P62736"),
        DemoChannel(name="Collagen I", marker="collagen", gain=18, uniprot_id="P02452"),
        DemoChannel(name="CD31", marker="CD31", gain=9, uniprot_id="P16284"),
        DemoChannel(name="CD45", marker="CD45", gain=11, uniprot_id="P08575"),
        DemoChannel(name="CD3e", marker="CD3", gain=9, uniprot_id="P07766"),
        DemoChannel(name="CD4", marker="CD4", gain=6, uniprot_id="P01730"),
        DemoChannel(name="CD8a", marker="CD8", gain=10, uniprot_id="P01732"),
        DemoChannel(name="FOXP3", marker="FOXP3", gain=5, uniprot_id="Q9BZS1"),
        DemoChannel(name="CD20", marker="CD20", gain=14, uniprot_id="P11836"),
        DemoChannel(name="CD68", marker="CD68", gain=9, uniprot_id="P34810"),
        DemoChannel(name="HLA-DR", marker="HLA-DR", gain=13, uniprot_id="P01903"),
        DemoChannel(name="PD-1", marker="PD-1", gain=4, uniprot_id="Q15116"),
        DemoChannel(name="Ki-67", marker="Ki-67", gain=10, uniprot_id="P46013"),
        DemoChannel(name="Granzyme B", marker="noise", gain=4, uniprot_id="P10144", qc_pass=False),
    ),
)

TONSIL = DemoCohort(
    name="tonsil_codex",
    modality="codex",
    organ="tonsil",
    diagnoses=("Tonsillitis", "HPV+ OPSCC"),
    absent="CD21",
    full_panel_images=True,
    channels=(
        DemoChannel(name="DAPI", marker="dna", gain=21_000, is_nuclear_marker=True),
        DemoChannel(name="Pan-Cytokeratin", marker="cytokeratin", gain=15_000, uniprot_id="P02533"),
        DemoChannel(name="Vimentin", marker="vimentin", gain=9_000, uniprot_id="P08670"),
        DemoChannel(name="CD31", marker="CD31", gain=7_000, uniprot_id="P16284"),
        DemoChannel(name="CD45", marker="CD45", gain=8_000, uniprot_id="P08575"),
        DemoChannel(name="CD3e", marker="CD3", gain=8_500, uniprot_id="P07766"),
        DemoChannel(name="CD4", marker="CD4", gain=5_500, uniprot_id="P01730"),
        DemoChannel(name="CD8", marker="CD8", gain=7_000, uniprot_id="P01732"),
        DemoChannel(name="CD20", marker="CD20", gain=12_000, uniprot_id="P11836"),
        DemoChannel(name="CD21", marker="CD21", gain=9_000, uniprot_id="P20023"),
        DemoChannel(name="CD68", marker="CD68", gain=6_000, uniprot_id="P34810"),
        DemoChannel(name="PD-1", marker="PD-1", gain=5_000, uniprot_id="Q15116"),
        DemoChannel(name="Ki67", marker="Ki-67", gain=10_000, uniprot_id="P46013"),
        DemoChannel(name="Blank", marker="noise", gain=1_500, qc_pass=False),
    ),
)
COHORTS: tuple[DemoCohort, ...] = (LUNG, TONSIL)
