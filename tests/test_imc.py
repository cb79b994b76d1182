"""Acquisitions of imaging mass cytometry as the instrument writes them: text files, and MCD."""

import struct

import numpy as np
import pytest

from spora_db import errors
from spora_db.images import open_image, read_region
from spora_db.images.imc import acquisitions
from spora_db.importing import import_dataset

METALS = [("Ir", 191, "DNA1"), ("Er", 170, "CD3"), ("Ar", 80, "")]


def pixels(seed, height=40, width=30):
    return np.random.default_rng(seed).poisson(3, (3, height, width)).astype(np.float32) + np.float32(0.25)


def rows_of(image):
    """The pixels in the order in which they are ablated, with their places."""
    height, width = image.shape[1:]
    rows, cols = np.indices((height, width)).reshape(2, -1)
    return np.column_stack([cols, rows, np.arange(height * width), image.reshape(len(image), -1).T]).astype(np.float32)


def write_text(path, image, *, keep=None):
    names = [f"{label or f'{mass}{metal}'}({metal}{mass}Di)" for metal, mass, label in METALS]
    lines = ["\t".join(["Start_push", "End_push", "Pushes_duration", "X", "Y", "Z", *names])]
    for push, row in enumerate(rows_of(image)[:keep]):
        places = [str(int(value)) for value in row[:3]]
        lines.append("\t".join([str(push), str(push + 9), "10", *places, *map(str, row[3:].tolist())]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\r\n".join(lines) + "\r\n")


def write_mcd(path, images, *, cut=0, step=1):
    """Write an MCD: the data of its acquisitions, and behind them their XML in UTF-16; an empty one is added."""
    data, xml = bytearray(b"\0" * 100), []
    for number, image in enumerate([*images, np.zeros((3, 0, 0), np.float32)], start=1):
        start = len(data)
        data += rows_of(image).tobytes()[: -cut or None]
        size = "".join(
            f"<{name}>{value}</{name}>"
            for name, value in {
                "ID": number, "AcquisitionROIID": number, "Description": f"ROI_{number}", "DataStartOffset": start,
                "DataEndOffset": len(data), "ValueBytes": 4, "MaxX": image.shape[2], "MaxY": image.shape[1],
                "AblationDistanceBetweenShotsX": step, "AblationDistanceBetweenShotsY": step,
            }.items()
        )  # fmt: skip
        xml.append(f"<AcquisitionROI><ID>{number}</ID><PanoramaID>1</PanoramaID></AcquisitionROI>")
        xml.append(f"<Acquisition>{size}</Acquisition>")
        channels = [("X", "X"), ("Y", "Y"), ("Z", "Z")]
        channels += [(f"{metal}({mass})", label or f"{mass}{metal}") for metal, mass, label in METALS]
        xml += [
            f"<AcquisitionChannel><ID>{number}{order}</ID><ChannelName>{name}</ChannelName><OrderNumber>{order}"
            f"</OrderNumber><ChannelLabel>{label}</ChannelLabel><AcquisitionID>{number}</AcquisitionID>"
            "</AcquisitionChannel>"
            for order, (name, label) in enumerate(channels)
        ]
    text = (
        '<MCDSchema xmlns="http://www.fluidigm.com/IMC/MCDSchema.xsd"><Slide><ID>0</ID></Slide><Panorama><ID>1</ID>'
        f"<SlideID>0</SlideID><Type>Imported</Type></Panorama>{''.join(xml)}</MCDSchema>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(data) + text.encode("utf-16-le"))


def bring(source, tmp_path, **options):
    given = {"into": tmp_path / "lake", "dataset": "mine", "modality": "imc", "mpp": 1.0, "tissue_mask": "full"}
    return import_dataset(source, **given | options)


def image_of(report, tissue):
    return read_region(open_image(report.path / f"imc/1_0mpp/images/{tissue}.ome.zarr"))


PANEL = "channel,name,keep\nIr191,DNA1,1\nEr170,CD3,1\nAr80,Argon,0\n"


def test_text_files_become_tissues(tmp_path):
    for number in (1, 2):
        write_text(tmp_path / f"raw/slide_ROI_{number}.txt", pixels(number))
    (tmp_path / "raw/notes.txt").write_text("two fields\n")
    (tmp_path / "panel.csv").write_text(PANEL)
    report = bring(tmp_path / "raw", tmp_path, panel=tmp_path / "panel.csv")
    assert (report.tissues, report.channels) == (("slide_ROI_1", "slide_ROI_2"), ("DNA1", "CD3"))
    for number, tissue in enumerate(report.tissues, start=1):
        np.testing.assert_array_equal(image_of(report, tissue), pixels(number)[:2])
    report = bring(tmp_path / "raw/slide_ROI_1.txt", tmp_path, dataset="named")
    np.testing.assert_array_equal(image_of(report, "slide_ROI_1"), pixels(1))


def test_regions_of_a_text_file(tmp_path):
    write_text(tmp_path / "a.txt", pixels(5))
    image = open_image(tmp_path / "a.txt")
    assert (image.shape, image.dtype) == ((3, 40, 30), np.float32)
    assert image.channel_names == ("Ir191_DNA1", "Er170_CD3", "Ar80")
    found = read_region(image, [2, 0, 2], row=7, col=3, height=9, width=20)
    np.testing.assert_array_equal(found, pixels(5)[[2, 0, 2], 7:16, 3:23])


def test_a_text_file_of_a_scan_that_was_ended_early(tmp_path):
    write_text(tmp_path / "a.txt", pixels(5), keep=1000)
    with pytest.raises(errors.FileFormatError, match=r"1000 pixels, and 34 x 30 were to be ablated.*zeros"):
        read_region(open_image(tmp_path / "a.txt"))
    found = read_region(open_image(tmp_path / "a.txt", missing_chunks="zeros"))
    assert not found[:, -1, 10:].any()
    np.testing.assert_array_equal(found[:, :33], pixels(5)[:, :33])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notes", "it is another text"),
        ("Start_push\tEnd_push\tPushes_duration\tX\tY\tZ\n1\t2\t3\t0\t0\t0\n", "0 channels and 1 pixels"),
        ("Start_push\tEnd_push\tPushes_duration\tX\tY\tZ\tA(Ir1Di)\n", "1 channels and 0 pixels"),
        (
            "Start_push\tEnd_push\tPushes_duration\tX\tY\tZ\tA(Ir1Di)\n1\t2\t3\tx\t0\t0\t5\n",
            "a line per pixel",
        ),
    ],
)
def test_texts_that_are_no_acquisition(tmp_path, text, said):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(errors.FileFormatError, match=said):
        open_image(tmp_path / "a.txt")


def test_acquisitions_of_an_mcd_become_tissues(tmp_path):
    pytest.importorskip("readimc")
    images = [pixels(1), pixels(2, 20, 50)]
    write_mcd(tmp_path / "raw/slide.mcd", images)
    write_text(tmp_path / "raw/slide_ROI_1.txt", pixels(1))  # what the instrument exports beside it
    assert [path.name for path in acquisitions(tmp_path / "raw/slide.mcd")] == ["1", "2"]
    for source in (tmp_path / "raw", tmp_path / "raw/slide.mcd"):
        report = bring(source, tmp_path, overwrite=True)
        assert report.tissues == ("slide_001", "slide_002")
        assert report.channels == ("DNA1", "CD3", "Ar80")
        for image, tissue in zip(images, report.tissues, strict=True):
            np.testing.assert_array_equal(image_of(report, tissue), image)
    (tmp_path / "panel.csv").write_text(PANEL)
    report = bring(tmp_path / "raw", tmp_path, panel=tmp_path / "panel.csv", overwrite=True)
    assert report.channels == ("DNA1", "CD3")
    assert any("slide_ROI_1.txt" in note for note in report.notes)


def test_an_mcd_by_itself(tmp_path):
    pytest.importorskip("readimc")
    write_mcd(tmp_path / "one.mcd", [pixels(3)], step=2)
    write_mcd(tmp_path / "two.mcd", [pixels(3), pixels(4)])
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "one.mcd"), [1], row=3), pixels(3)[1:2, 3:])
    np.testing.assert_array_equal(read_region(open_image(tmp_path / "two.mcd/2")), pixels(4))
    with pytest.raises(errors.FileFormatError, match=r"two\.mcd holds .*two\.mcd/1, .*two\.mcd/2"):
        open_image(tmp_path / "two.mcd")
    with pytest.raises(errors.FileFormatError, match="no such acquisition"):
        open_image(tmp_path / "two.mcd/7")
    report = bring(tmp_path / "one.mcd", tmp_path)
    assert any("the MCD of the files 2" in note for note in report.notes)


def test_damaged_mcds(tmp_path):
    pytest.importorskip("readimc")
    write_mcd(tmp_path / "cut.mcd", [pixels(3)], cut=24 * 100)
    with pytest.raises(errors.FileFormatError, match="1100 pixels, and 40 x 30 were to be ablated"):
        read_region(open_image(tmp_path / "cut.mcd"))
    assert read_region(open_image(tmp_path / "cut.mcd", missing_chunks="zeros"))[:, -1].sum() == 0
    (tmp_path / "none.mcd").write_bytes(struct.pack("<9I", *range(9)))
    with pytest.raises(errors.FileFormatError, match="an MCD of imaging mass cytometry"):
        open_image(tmp_path / "none.mcd")
    with pytest.raises(errors.ImageNotFoundError):
        open_image(tmp_path / "absent.mcd/1")


def test_an_mcd_without_its_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "readimc", None)
    write_mcd(tmp_path / "raw/slide.mcd", [pixels(1)])
    with pytest.raises(errors.MissingExtraError, match=r"spora-db\[imc\].*as text"):
        bring(tmp_path / "raw", tmp_path)
