"""Files of pictures are read as people see them, and damaged ones end in one error."""

import io
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps, TiffImagePlugin

from creativelib import pictures
from creativelib.errors import InputError
from creativelib.pictures import MOST_PIXELS, check_pictures, fit_picture, read_picture

ORIENTATION = 0x0112
RED = (255, 0, 0)
BLUE = (0, 0, 255)


def corners(width=24, height=16):
    """Draw a picture whose four quarters differ."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (0, 0, width // 2, height // 2))
    image.paste((0, 200, 0), (width // 2, height // 2, width, height))
    return image


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def saved(image, file, **options):
    image.save(file, **options)
    return file


# Each writes a file and returns it with what people see.


def png(tmp_path):
    image = corners()
    return saved(image, tmp_path / "a.png"), image


def opaque_png(tmp_path):
    image = corners()
    return saved(image.convert("RGBA"), tmp_path / "a.png"), image


def half_transparent_png(tmp_path):
    image = Image.new("RGBA", (4, 6), (*RED, 51))
    return saved(image, tmp_path / "a.png"), Image.new("RGB", (4, 6), (255, 204, 204))


def hidden_colors(tmp_path):
    """Drawing programs leave any color under what is transparent, most often black."""
    image = Image.new("RGBA", (4, 6), (0, 0, 0, 0))
    return saved(image, tmp_path / "a.webp", lossless=True), Image.new("RGB", (4, 6), "white")


def gray_with_alpha(tmp_path):
    image = Image.new("LA", (4, 6), (0, 0))
    return saved(image, tmp_path / "a.png"), Image.new("RGB", (4, 6), "white")


def palette(tmp_path, transparency):
    image = Image.new("P", (4, 6), 1)
    image.putpalette([*RED, *BLUE, 0, 200, 0])
    image.putpixel((0, 0), 0)
    image.putpixel((1, 0), 2)
    file = saved(image, tmp_path / "a.png", transparency=transparency)
    seen = image.convert("RGB")
    seen.putpixel((0, 0), (255, 255, 255))
    return file, seen


def palette_with_a_transparent_color(tmp_path):
    return palette(tmp_path, 0)


def palette_with_alpha(tmp_path):
    return palette(tmp_path, bytes([0, 255, 255]))


def transparent_color(tmp_path):
    image = corners()
    seen = image.copy()
    seen.paste("white", (0, 0, 12, 8))
    return saved(image, tmp_path / "a.png", transparency=BLUE), seen


def moving_gif(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    file = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    return file, frames[0]


def moving_transparent_gif(tmp_path):
    frames = [Image.new("RGBA", (8, 8), (*RED, 255)) for _ in range(2)]
    frames[0].putpixel((0, 0), (0, 0, 0, 0))
    file = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    seen = Image.new("RGB", (8, 8), RED)
    seen.putpixel((0, 0), (255, 255, 255))
    return file, seen


def moving_png(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    file = saved(frames[0], tmp_path / "a.png", save_all=True, append_images=frames[1:])
    return file, frames[0]


def deep_gray(tmp_path):
    values = np.array([[0, 257 * 128], [257 * 64, 65535]], np.uint16)
    return saved(Image.fromarray(values), tmp_path / "a.png"), gray([[0, 128], [64, 255]])


def deep_gray_tiff(tmp_path):
    values = np.array([[0, 257 * 128], [257 * 64, 65535]], np.uint16)
    return saved(Image.fromarray(values), tmp_path / "a.tif"), gray([[0, 128], [64, 255]])


def deep_gray_with_a_transparent_value(tmp_path):
    values = np.array([[0, 257 * 128]], np.uint16)
    file = saved(Image.fromarray(values), tmp_path / "a.png", transparency=257 * 128)
    return file, gray([[0, 255]])


def deep_ppm(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">HH", 65535, 257 * 128))
    return tmp_path / "a.pgm", gray([[255, 128]])


def float_tiff(tmp_path):
    values = np.array([[0, 128 / 255, 1]], np.float32)
    return saved(Image.fromarray(values), tmp_path / "a.tif"), gray([[0, 128, 255]])


def deep_colors(tmp_path):
    """Write the chunks of a PNG of 16 bits a channel, which Pillow reads and does not write."""
    rows = b"".join(b"\0" + struct.pack(">6H", *([65535, 0, 257 * 128] * 2)) for _ in range(2))
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return tmp_path / "a.png", Image.new("RGB", (2, 2), (255, 0, 128))


def inks(tmp_path):
    image = Image.new("CMYK", (4, 6), (0, 255, 255, 0))
    return saved(image, tmp_path / "a.tif"), Image.new("RGB", (4, 6), RED)


def one_bit(tmp_path):
    image = Image.new("1", (4, 6), 1)
    image.putpixel((0, 0), 0)
    return saved(image, tmp_path / "a.bmp"), image.convert("RGB")


def gray(values):
    return Image.fromarray(np.array(values, np.uint8)).convert("RGB")


@pytest.mark.parametrize(
    "write",
    [
        png,
        opaque_png,
        half_transparent_png,
        hidden_colors,
        gray_with_alpha,
        palette_with_a_transparent_color,
        palette_with_alpha,
        transparent_color,
        moving_gif,
        moving_transparent_gif,
        moving_png,
        deep_gray,
        deep_gray_tiff,
        deep_gray_with_a_transparent_value,
        deep_ppm,
        float_tiff,
        deep_colors,
        inks,
        one_bit,
    ],
)
def test_a_picture_is_read_as_people_see_it(tmp_path, write):
    file, seen = write(tmp_path)
    with warnings.catch_warnings(action="error"):
        found = read_picture(file)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, as_tensor(seen), atol=1e-6, rtol=0)
    check_pictures(found[None])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_was(tmp_path, suffix, orientation):
    image = corners()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = saved(image, tmp_path / f"a.{suffix}", exif=exif)
    image.getexif()[ORIENTATION] = orientation
    seen = as_tensor(ImageOps.exif_transpose(image))
    found = read_picture(file)
    assert found.shape == seen.shape
    # JPEG and WebP lose a little at the quarters' edges.
    assert (found - seen).abs().mean() < 0.08


def test_damaged_exif_data_change_nothing(tmp_path):
    image = corners()
    for exif in (b"Exif\0\0MM\0*\0\0\0\x08\0\x09", b"nonsense"):
        file = saved(image, tmp_path / "a.png", exif=exif)
        assert torch.equal(read_picture(file), as_tensor(image))


def bmp_of(width, height):
    """Write the header of a bitmap, and no pixels."""
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + size


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot identify"),
        (b"no picture", "cannot identify"),
        (bmp_of(8193, 8192), "it has 8193 x 8192 pixels.*at most 67,108,864 pixels"),
        (bmp_of(30_000, 30_000), "900000000 pixels.*at most 67,108,864 pixels"),
        (bmp_of(101, 1), "it has 101 x 1 pixels.*more than 100 times as long"),
        (bmp_of(8, 8), "truncated"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, data, reason):
    file = tmp_path / "broken.png"
    file.write_bytes(data)
    with pytest.raises(InputError, match=f"pages has '.*broken.png', which cannot .*{reason}"):
        read_picture(file, "pages")


def test_files_that_are_none_are_named(tmp_path):
    for file in (tmp_path, tmp_path / "nowhere.png"):
        with pytest.raises(InputError, match="picture has .*, which cannot be read as a picture"):
            read_picture(file)


def test_floats_out_of_range_are_refused(tmp_path):
    file = saved(Image.fromarray(np.array([[0, 255]], np.float32)), tmp_path / "a.tif")
    with pytest.raises(InputError, match="its gray values go from 0 to 255"):
        read_picture(file)


def test_a_strip_does_not_fill_the_memory():
    with pytest.raises(InputError, match="pictures is of 1 x 101 pixels; expected edges"):
        fit_picture(torch.rand(1, 3, 101, 1), 224, 224)
    assert fit_picture(torch.rand(1, 3, 100, 1), 4, 4).shape == (1, 3, 4, 4)
    assert MOST_PIXELS == 8192**2


def specimens():
    """Write small files of all common kinds."""
    image = corners()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[TiffImagePlugin.IMAGEDESCRIPTION] = "corners"
    pale = image.convert("RGBA")
    pale.putalpha(100)
    frames = [corners(), corners().rotate(180)]
    deep = Image.fromarray(np.arange(24 * 16, dtype=np.uint16).reshape(16, 24) * 100)
    film = {"save_all": True, "append_images": frames[1:]}
    for picture, kind, options in (
        (image, "png", {"exif": exif}),
        (pale, "png", {}),
        (image.quantize(8), "png", {"transparency": 2}),
        (deep, "png", {}),
        (frames[0], "png", film),
        (image, "jpeg", {"exif": exif}),
        (image.convert("CMYK"), "jpeg", {}),
        (image, "jpeg", {"progressive": True}),
        (pale, "webp", {"exif": exif}),
        (image, "webp", {"lossless": True}),
        (frames[0], "webp", film),
        (pale, "gif", {}),
        (frames[0], "gif", film),
        (image, "tiff", {"exif": exif}),
        (deep, "tiff", {}),
        (image, "tiff", {"compression": "tiff_lzw"}),
        (pale, "tiff", {"compression": "tiff_deflate"}),
        (image, "bmp", {}),
        (image.quantize(8), "bmp", {}),
        (pale, "bmp", {}),
    ):
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        yield kind, stream.getvalue()


def mutate(data, rng):
    """Change some bytes of a file, most of them near its beginning, or cut, drop or repeat some."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(min(len(data), rng.choice((64, 200, 10**6))))
        match rng.randrange(8):
            case 0:
                del data[max(at, 1) :]
            case 1:
                del data[at : at + rng.randrange(1, 9)]
                data += b"\0"
            case 2:
                data[at:at] = data[at : at + rng.randrange(1, 17)]
            case 3:
                data[at] = rng.choice((0, 1, 127, 128, 255))
            case 4:
                data[at : at + 4] = struct.pack(">I", rng.choice((0, 1, 2**16, 2**31, 2**32 - 1)))
            case 5:
                data[at] ^= 1 << rng.randrange(8)
            case _:
                data[at] = rng.randrange(256)
    return bytes(data)


def test_damaged_files_are_read_or_refused(monkeypatch):
    """Whatever is done to a file, it is read as a picture in [0, 1] or ends in an InputError."""
    opened = Image.open
    monkeypatch.setattr(pictures, "MOST_PIXELS", 2**14)
    # From memory, which takes a fifth of the time that files do.
    monkeypatch.setattr(Image, "open", lambda _: opened(io.BytesIO(damaged)))
    rng = random.Random(0)
    counts = {}
    for kind, data in specimens():
        for _ in range(250):
            damaged = mutate(data, rng)
            with warnings.catch_warnings(action="error"):
                try:
                    check_pictures(read_picture("damaged")[None])
                    outcome = "read"
                except InputError:
                    outcome = "refused"
            counts[kind, outcome] = counts.get((kind, outcome), 0) + 1
    print(counts)
    assert sum(counts.values()) == 5000
    assert min(counts.values()) >= 20
