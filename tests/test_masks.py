import io
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agreed import SHARED
from odd_files import foreign_npy, no_masks
from spora_db.errors import FileFormatError, MaskNotFoundError, SporaError
from spora_db.masks import load_label_mask, load_mask, load_tissue_mask

ARRAY = np.random.default_rng(0).integers(0, 3, (17, 23))
FOLDERS = ("bad-zip-for-npz", "npy-ndarray-npy", "npy-numpy-objarr")
BAD = sorted(path for folder in FOLDERS for path in (SHARED / "data/bad" / folder).rglob("*") if path.is_file())


def npy(array, **header):
    """An npy file with parts of its header replaced."""
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape} | header
    text = (repr(fields) if "text" not in header else header["text"]).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + array.tobytes()


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


# --- right arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "<u2", ">u2", "<i4", ">i8", "<f4", ">f8", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_plain_array_equals_numpys(tmp_path, dtype, order, save):
    array = np.array(ARRAY.astype(dtype), order=order)
    save(tmp_path / "m.npz", mask=array)
    found = load_mask(tmp_path / "m.npz")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    assert found.flags.c_contiguous


def test_the_array_named_mask_is_taken_and_otherwise_the_only_one(tmp_path):
    np.savez(tmp_path / "two.npz", mask=ARRAY, other=ARRAY + 1)
    np.savez(tmp_path / "one.npz", whatever=ARRAY)
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "which.npz", a=ARRAY, b=ARRAY)
    for name in ("two", "one"):
        np.testing.assert_array_equal(load_mask(tmp_path / f"{name}.npz"), ARRAY)
    with pytest.raises(FileFormatError, match="holds nothing; expected one array named 'mask'"):
        load_mask(tmp_path / "none.npz")
    with pytest.raises(FileFormatError, match=r"holds a.npy, b.npy; expected one array"):
        load_mask(tmp_path / "which.npz")


def test_headers_of_python_2_and_of_npy_version_2(tmp_path):
    text = "{'descr': '|u1', 'fortran_order': False, 'shape': (17L, 23L), }"
    content = npy(ARRAY.astype("u1"), text=text)
    longer = io.BytesIO()
    np.lib.format.write_array(longer, ARRAY.astype("u1"), version=(2, 0))
    for data in (content, longer.getvalue()):
        np.testing.assert_array_equal(load_mask(archive(tmp_path / "m.npz", {"mask.npy": data})), ARRAY)


def test_tissue_mask_is_what_is_above_zero(tmp_path):
    np.savez(tmp_path / "m.npz", mask=np.array([[-1.0, 0.0, 0.25, 2.0]]))
    found = load_tissue_mask(tmp_path / "m.npz")
    assert found.dtype == np.bool_
    assert found.tolist() == [[False, False, True, True]]


def test_bool_bytes_other_than_0_and_1_are_true(tmp_path):
    data = npy(np.array([[0, 1, 2, 255]], "u1"), descr="|b1")
    found = load_tissue_mask(archive(tmp_path / "m.npz", {"mask.npy": data}))
    assert found.view(np.uint8).tolist() == [[0, 1, 1, 1]]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", ">u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_label_masks_are_int32(tmp_path, dtype):
    np.savez(tmp_path / "m.npz", mask=ARRAY.astype(dtype))
    found = load_label_mask(tmp_path / "m.npz")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, ARRAY.astype(dtype))


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**31, "labels from 0 to 2147483648"),
        (-(2**31) - 1, "labels from -2147483649"),
        (np.nan, "nan"),
        (np.inf, "inf"),
        (1.5, "not whole"),
    ],
)
def test_labels_that_are_not_whole_numbers_of_32_bits_are_refused(tmp_path, value, message):
    np.savez(tmp_path / "m.npz", mask=np.array([[0, value]]))
    with pytest.raises(FileFormatError, match=message):
        load_label_mask(tmp_path / "m.npz")


def test_labels_just_beyond_what_float32_tells_apart(tmp_path):
    np.savez(tmp_path / "m.npz", mask=np.float32([[2**31]]))
    with pytest.raises(FileFormatError, match="2147483648"):
        load_label_mask(tmp_path / "m.npz")


def test_nan_in_a_tissue_mask(tmp_path):
    np.savez(tmp_path / "m.npz", mask=np.array([[0.0, np.nan]]))
    with pytest.raises(FileFormatError, match="holds NaN"):
        load_tissue_mask(tmp_path / "m.npz")


@pytest.mark.parametrize("load", [load_mask, load_tissue_mask, load_label_mask])
def test_another_shape_than_the_image_names_both(tmp_path, load):
    np.savez(tmp_path / "m.npz", mask=ARRAY)
    assert load(tmp_path / "m.npz", shape=(17, 23)).shape == (17, 23)
    with pytest.raises(FileFormatError, match=r"m\.npz is 17 x 23, but a\.ome\.zarr is 23 x 17 "):
        load(tmp_path / "m.npz", shape=(23, 17), image="a.ome.zarr")


def test_an_absent_mask(tmp_path):
    with pytest.raises(MaskNotFoundError, match=r"No mask file .*m\.npz"):
        load_mask(tmp_path / "m.npz")
    with pytest.raises(MaskNotFoundError):
        load_mask(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"descr": "|O"}, "pickled Python objects, which are never loaded"),
        ({"descr": [("a", "<i8")]}, "dtype"),
        ({"descr": "<c16"}, "dtype '<c16'"),
        ({"descr": "<M8[s]"}, "dtype"),
        ({"descr": "<U4"}, "dtype '<U4'"),
        ({"shape": (17, 23, 1)}, r"shape \(17, 23, 1\); expected \(height, width\)"),
        ({"shape": (391,)}, r"shape \(391,\)"),
        ({"shape": ()}, r"shape \(\)"),
        ({"shape": (0, 23)}, r"shape \(0, 23\)"),
        ({"shape": (-17, 23)}, r"shape \(-17, 23\)"),
        ({"shape": (17.0, 23)}, r"shape"),
        (
            {"shape": (10**9, 10**9)},
            "claims 1000000000 x 1000000000 pixels of int64, 8000000000000000000 bytes, but holds 3128",
        ),
        ({"shape": (10**17, 10**17)}, "claims"),
        ({"shape": (10**30, 1)}, "shape"),
        ({"shape": (17, 22)}, "claims 17 x 22"),
        ({"text": "{'descr': __import__('os').abort()}"}, "broken numpy header"),
        ({"text": "{" * 100}, "broken numpy header"),
        ({"text": "{'descr': '<i8', 'fortran_order': 1, 'shape': (17, 23)}"}, "broken numpy header"),
    ],
    ids=repr,
)
def test_a_header_is_believed_only_as_far_as_it_is_plain(tmp_path, header, message):
    with pytest.raises(FileFormatError, match=message):
        load_mask(archive(tmp_path / "m.npz", {"mask.npy": npy(ARRAY, **header)}))


def test_pickled_objects_are_never_loaded(tmp_path):
    np.savez(tmp_path / "m.npz", mask=np.array([[{}]], dtype=object))
    with pytest.raises(FileFormatError, match="pickled Python objects"):
        load_mask(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (npy(ARRAY), r"bare \.npy array"),
        (b"", "could not be read as .npz"),
        (b"PK\3\4 no", "could not be read as .npz"),
    ],
    ids=["lfs", "npy", "empty", "stub"],
)
def test_what_is_no_zip_is_said(tmp_path, content, message):
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_mask(tmp_path / "m.npz")


def test_a_member_that_is_no_array(tmp_path):
    with pytest.raises(FileFormatError, match="does not hold a numpy array"):
        load_mask(archive(tmp_path / "m.npz", {"mask.npy": b"hello"}))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_numpy_does_not_write(tmp_path, method):
    with pytest.raises(FileFormatError, match="expected stored or deflated"):
        load_mask(archive(tmp_path / "m.npz", {"mask.npy": npy(ARRAY)}, method))


def test_more_bytes_than_a_mask_may_have(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "m.npz", mask=np.zeros((1000, 1000), bool))
    monkeypatch.setattr("spora_db.masks.npz.MAX_BYTES", 10**6)
    with pytest.raises(FileFormatError, match="a mask may have 1000000"):
        load_mask(tmp_path / "m.npz")


def patched_sizes(path, size):
    """A bomb: local and central directory both claim ``size`` bytes for the one member."""
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\1\2")
    data[22:26] = data[central + 24 : central + 28] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_size_that_the_compressed_bytes_cannot_hold(tmp_path, compression):
    size = 50_000 * 80_000
    content = npy(ARRAY.astype("u1"), shape=(50_000, 80_000))
    path = archive(tmp_path / "m.npz", {"mask.npy": content}, compression)
    with pytest.raises(FileFormatError, match=f"claims {size + 128} bytes, but its"):
        load_mask(patched_sizes(path, size + 128))


def test_fewer_bytes_than_the_member_holds(tmp_path):
    content = npy(np.zeros((100, 100), "u1"), shape=(10, 100))
    path = archive(tmp_path / "m.npz", {"mask.npy": content})
    with pytest.raises(FileFormatError, match="could not be read as"):
        load_mask(patched_sizes(path, 128 + 1000))


def test_truncated_and_damaged_files_never_give_a_wrong_array(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", mask=ARRAY)
    whole = (tmp_path / "m.npz").read_bytes()

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(cut=st.integers(0, len(whole)), at=st.integers(0, len(whole) - 1), bits=st.integers(0, 255))
    def check(cut, at, bits):
        for data in (whole[:cut], whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :]):
            (tmp_path / "bad.npz").write_bytes(data)
            try:
                found = load_mask(tmp_path / "bad.npz")
            except SporaError:
                continue
            np.testing.assert_array_equal(found, ARRAY)

    check()


def test_bad_files_are_right_or_refused_within_a_memory_limit(tmp_path):
    """In one child with 2 GB of address space: every broken or hostile file gives numpy's array or a SporaError."""
    code = """
import resource, sys, warnings, numpy as np
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
from spora_db.errors import SporaError
from spora_db.masks import load_label_mask, load_mask, load_tissue_mask
warnings.simplefilter("error")
for path in sys.argv[1:]:
    for load in (load_mask, load_tissue_mask, load_label_mask):
        try:
            array = load(path)
        except SporaError as error:
            print("refused", path, error)
        else:
            print("read", path, array.dtype, array.shape)
"""
    bad = list(BAD)
    for name, content in no_masks():
        bad.append(tmp_path / name)
        bad[-1].write_bytes(content)
    assert len(bad) > 30
    done = subprocess.run([sys.executable, "-c", code, *map(str, bad)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 3 * len(bad)
    assert all(line.startswith("refused") for line in lines)  # none of them holds a mask
    assert any("pickled Python objects" in line for line in lines)


FOREIGN = foreign_npy() | {
    path.name: path.read_bytes() for path in BAD if path.name.startswith(("example_bool", "example_f64"))
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_npy_files_inside_an_npz_are_read_right(tmp_path, name):
    data = FOREIGN[name]
    packed = archive(tmp_path / "m.npz", {"mask.npy": data})
    expected = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if expected.ndim == 2:
        np.testing.assert_array_equal(load_mask(packed), expected)
    else:
        with pytest.raises(FileFormatError, match="expected \\(height, width\\)"):
            load_mask(packed)


def test_another_shape_than_the_image_is_refused_before_a_pixel_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", mask=np.zeros((8192, 8192), bool))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="is 8192 x 8192, but its image is 100 x 100"):
        load_tissue_mask(tmp_path / "m.npz", shape=(100, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
