"""Images are found by the names of their slides, and missing ones are explained."""

import csv
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from survival.images import CanvasImages


def write_manifest(folder, *slides):
    rows = []
    for i, slide in enumerate(slides):
        Image.new("RGB", (6, 4), (i, 0, 0)).save(folder / f"{i}.png")
        rows.append(f"{slide},{i}.png,ok,")
    text = "\n".join(["slide,output,status,reason", *rows]) + "\n"
    (folder / "manifest.csv").write_text(text, encoding="utf-8")


def test_the_manifest_gives_the_image_of_each_slide(tmp_path):
    write_manifest(tmp_path, "A/x.tif", "B/x.tif")
    images = CanvasImages(tmp_path, ["B/x.tif", "A/x.tif"])
    assert [image[0, 0, 0] for image in (images[0], images[1])] == [1, 0]
    assert images.shape == (4, 6, 3)


def test_a_slide_is_found_by_the_end_of_its_path_but_not_in_another_folder(tmp_path):
    write_manifest(tmp_path, "u1/A/x.tif", "u2/y.tif")
    images = CanvasImages(tmp_path, ["y.tif", "A/x.tif"])
    assert [path.name for path in images.paths] == ["1.png", "0.png"]
    with pytest.raises(ValueError, match="'A/x.tif' and 'x.tif' are both the file u1/A/x.tif"):
        CanvasImages(tmp_path, ["A/x.tif", "x.tif"])
    with pytest.raises(ValueError, match="not in .*: B/x.tif"):
        CanvasImages(tmp_path, ["B/x.tif"])
    write_manifest(tmp_path, "A0014-1.tif", "A0090-1.tif")
    with pytest.raises(ValueError, match="not in .*A/A0090-1.tif"):
        CanvasImages(tmp_path, ["A0014-1.tif", "A/A0090-1.tif"])  # may be from another hospital
    with pytest.raises(ValueError, match=r"which has, for example, A0014-1.tif\): C.svs"):
        CanvasImages(tmp_path, ["C.svs"])


def test_a_slide_is_found_by_a_name_in_another_unicode_form(tmp_path):
    """MacOS writes the names of files with combining marks, keyboards write one character."""
    name = "Fälle/Müller 1.tif"
    apart, joined = (unicodedata.normalize(form, name) for form in ("NFD", "NFC"))
    write_manifest(tmp_path, f"u1/{apart}", "b.tif")
    assert CanvasImages(tmp_path, [joined]).paths == [tmp_path / "0.png"]
    write_manifest(tmp_path, f"u1/{joined}", "b.tif")
    assert CanvasImages(tmp_path, [apart]).paths == [tmp_path / "0.png"]
    with pytest.raises(ValueError, match=r"'F\\xe4lle.*' and 'Fa\\u0308lle.*' are both the file"):
        CanvasImages(tmp_path, [joined, apart])
    # The same form comes first, then the same folder.
    write_manifest(tmp_path, apart, joined, f"u1/{joined}")
    assert [p.name for p in CanvasImages(tmp_path, [joined, apart]).paths] == ["1.png", "0.png"]
    write_manifest(tmp_path, f"u1/{apart}", apart)
    assert CanvasImages(tmp_path, [joined]).paths == [tmp_path / "1.png"]
    write_manifest(tmp_path, f"u1/{apart}", f"u2/{apart}")
    with pytest.raises(ValueError, match="occurs 2 times in .*; add its folder to the name"):
        CanvasImages(tmp_path, [joined])
    mixed = apart[: apart.index("/")] + joined[joined.index("/") :]
    write_manifest(tmp_path, apart, mixed)
    with pytest.raises(
        ValueError, match="could be 2 files in .* whose names look the same .*u0308"
    ):
        CanvasImages(tmp_path, [joined])


def test_missing_images_are_explained(tmp_path):
    with pytest.raises(ValueError, match="has no manifest.csv .run `survival preprocess` first"):
        CanvasImages(tmp_path, ["a.svs"])
    with pytest.raises(
        ValueError, match="images .* does not exist; run `survival preprocess` first"
    ):
        CanvasImages(tmp_path / "no", ["a.svs"])


def test_slides_that_differ_in_their_suffix_do_not_share_an_image(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "P1.png")
    with pytest.raises(ValueError, match="P1.HE1 and P1.HE2 would both have the image .*P1.png"):
        CanvasImages(tmp_path, ["P1.HE1", "P1.HE2"])


@pytest.fixture
def usual_fields():
    """Restore Python's limit of a CSV field, which reading ARFF files raises for the process."""
    raised = csv.field_size_limit(131_072)
    yield
    csv.field_size_limit(raised)


def test_a_manifest_with_outside_paths_or_without_columns_is_refused(tmp_path, usual_fields):
    folder = tmp_path / "images"
    folder.mkdir()
    write_manifest(folder, "a.svs")
    manifest = folder / "manifest.csv"
    (folder / "0.png").rename(tmp_path / "x.png")
    for output in ("../x.png", str(tmp_path / "x.png")):
        manifest.write_text(f"slide,output,status,reason\na.svs,{output},ok,\n")
        with pytest.raises(ValueError, match=r"an image outside of .*manifest.csv: a.svs"):
            CanvasImages(folder, ["a.svs"])
    (tmp_path / "x.png").rename(folder / "a.png")
    for text, said in {
        "": "no column slide and no column output",
        "slide\na.svs\n": "no column output",
        "slide,output\na.svs\n": "no image in",
        f"slide,output\na.svs,{'x' * 300}\n": "no image in",
        f"slide,output\na.svs,{'x' * 150_000}\n": "is not a CSV file: field larger",
        'slide,output,output_mpp_x\na.svs,a.png,"16,5"\n': "output_mpp_x of slide a.svs is '16,5'",
    }.items():
        manifest.write_text(text)
        with pytest.raises(ValueError, match=said):
            CanvasImages(folder, ["a.svs"])


def test_an_image_that_claims_to_be_huge_is_not_decoded(tmp_path):
    write_manifest(tmp_path, "a.svs")
    data = bytearray((tmp_path / "0.png").read_bytes())
    data[16:24] = (40_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "0.png").write_bytes(data)
    with pytest.raises(ValueError, match="0.png is not an image"):
        CanvasImages(tmp_path, ["a.svs"])


def test_contents_of_older_images_are_still_recognized(tmp_path):
    """Older images have a SHA-256, which can still be compared with others of that kind."""
    for i in range(3):
        Image.new("RGB", (6, 4)).save(tmp_path / f"{i}.png")
    (tmp_path / "manifest.csv").write_text(
        "slide,output,content,sha256,bytes\n"
        "a.svs,0.png,quickhash:ab:5,,5\n"
        "b.svs,1.png,,cd,5\n"
        "c.svs,2.png,,,5\n"
    )
    images = CanvasImages(tmp_path, ["a.svs", "b.svs", "c.svs"])
    assert images.contents == ["quickhash:ab:5", "sha256:cd:5", ""]


def test_transparent_pixels_are_white_and_more_than_8_bits_are_refused(tmp_path):
    pixels = np.zeros((20, 30, 4), "uint8")
    pixels[5:15, 5:15] = [200, 50, 120, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = CanvasImages(tmp_path, ["a.svs"])[0]
    assert image[0, 0].tolist() == [255] * 3 and image[10, 10].tolist() == [200, 50, 120]
    Image.fromarray(np.full((20, 30), 1000, "uint16")).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match="b.png has more than 8 bits per channel"):
        CanvasImages(tmp_path, ["b.svs"])
