"""Acquisitions of imaging mass cytometry as the instrument writes them: text files, and MCD."""

import struct

import numpy as np
import pytest

from imc_files import write_mcd, write_text
from spora_db import errors
from spora_db.images import open_image, read_region
from spora_db.images.imc import acquisitions
from spora_db.importing import import_dataset


def pixels(seed, height=40, width=30):
    return np.random.default_rng(seed).poisson(3, (3, height, width)).astype(np.float32) + np.float32(0.25)


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
