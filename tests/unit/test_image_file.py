"""Pictures from hosts: checked, stripped of what must not travel, and marked."""

import asyncio
import hashlib
import io
import json
import random
import shutil
import struct
import subprocess
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo, putchunk

from imagegen import image_file
from imagegen.image_file import MAX_BYTES, MAX_PIXELS, MAX_SIDE, BadImage, ImageTooLarge
from tests.support import pictures

SECRET = "what somebody wrote in a chat"
EXIFTOOL = shutil.which("exiftool")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_a_png_loses_its_texts_and_keeps_its_pixels() -> None:
    texts = PngInfo()
    texts.add_text("prompt", SECRET)
    texts.add_text("workflow", SECRET, zip=True)
    texts.add_itxt("parameters", SECRET + " на балконе")
    original = _encoded("PNG", pnginfo=texts, dpi=(72, 72), exif=_exif())

    picture = image_file.check_and_strip(original)

    assert (picture.format, picture.width, picture.height) == ("png", 40, 30)
    assert _chunks(picture.data) == ["IHDR", "iTXt", "IDAT", "IEND"]
    assert SECRET.encode() not in picture.data
    assert _pixels(picture.data) == _pixels(original)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_pngs_of_every_depth_keep_their_pixels(mode: str) -> None:
    original = _encoded("PNG", mode=mode)

    picture = image_file.check_and_strip(original)

    assert _pixels(picture.data) == _pixels(original)


def test_of_an_animated_png_the_first_picture_stays() -> None:
    frames = [_gradient("RGB").rotate(90 * turn) for turn in range(3)]
    original = _saved(frames[0], "PNG", save_all=True, append_images=frames[1:])

    picture = image_file.check_and_strip(original)

    assert set(_chunks(picture.data)) == {"IHDR", "iTXt", "IDAT", "IEND"}
    assert _pixels(picture.data) == frames[0].tobytes()


def test_what_follows_the_end_of_a_png_is_dropped() -> None:
    original = _encoded("PNG")

    picture = image_file.check_and_strip(original + _chunk(b"IDAT", SECRET.encode()) + b"more")

    assert picture == image_file.check_and_strip(original)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_exif_xmp_and_comments_do_not_travel(kind: str) -> None:
    original = _encoded(kind, exif=_exif(), xmp=SECRET.encode(), comment=SECRET.encode())

    picture = image_file.check_and_strip(original)

    assert SECRET.encode() in original
    assert SECRET.encode() not in picture.data
    assert (picture.format, picture.width, picture.height) == (kind.lower(), 40, 30)
    assert Image.open(io.BytesIO(picture.data)).size == (40, 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_says_that_a_machine_made_it(kind: str) -> None:
    picture = image_file.check_and_strip(_encoded(kind, exif=_exif()))

    assert pictures.digital_source_type(picture.data) == pictures.AI_MADE


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_another_program_wrote_about_its_source_is_replaced(kind: str) -> None:
    claim = image_file.AI_MADE_XMP.replace(b"trainedAlgorithmicMedia", b"digitalCapture")
    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", claim.decode())

    picture = image_file.check_and_strip(_encoded(kind, xmp=claim, pnginfo=texts))

    assert b"digitalCapture" not in picture.data
    assert pictures.digital_source_type(picture.data) == pictures.AI_MADE


@pytest.mark.skipif(EXIFTOOL is None, reason="exiftool is not installed")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exiftool_finds_the_mark_and_no_fault(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(image_file.check_and_strip(_encoded(kind)).data)

    read = subprocess.run(
        [str(EXIFTOOL), "-json", "-validate", "-warning", "-XMP:all", "-n", str(file)],
        check=True,
        capture_output=True,
    )

    (tags,) = json.loads(read.stdout)
    assert tags.pop("SourceFile") == str(file)
    assert tags.pop("Validate") in ("0 0 0", "OK")
    assert tags == {"DigitalSourceType": pictures.AI_MADE}


def test_a_png_that_is_ours_already_stays_as_it_is() -> None:
    picture = image_file.check_and_strip(_encoded("PNG"))

    assert image_file.check_and_strip(picture.data) == picture


def test_a_jpeg_for_printers_is_still_a_picture() -> None:
    picture = image_file.check_and_strip(_encoded("JPEG", mode="CMYK"))

    assert picture.format == "jpeg"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_that_breaks_off_is_broken(kind: str, share: float) -> None:
    whole = _encoded(kind, size=(300, 200))

    with pytest.raises(BadImage, match="no picture"):
        image_file.check_and_strip(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"IEND"])
def test_a_png_without_its_header_its_pixels_or_its_end_is_broken(kind: bytes) -> None:
    whole = _encoded("PNG")
    begins = whole.index(kind) - 4
    (length,) = struct.unpack_from(">I", whole, begins)

    with pytest.raises(BadImage, match="no picture"):
        image_file.check_and_strip(whole[:begins] + whole[begins + 12 + length :])


def test_a_png_with_a_wrong_byte_is_broken() -> None:
    data = bytearray(_encoded("PNG", size=(300, 200)))
    data[len(data) // 2] ^= 1

    with pytest.raises(BadImage):
        image_file.check_and_strip(bytes(data))


def test_what_a_host_has_compressed_wrongly_is_found_when_it_is_decoded() -> None:
    written = io.BytesIO()
    written.write(SIGNATURE)
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)),
        (b"IDAT", b"no compressed pixels"),
        (b"IEND", b""),
    ):
        putchunk(written, kind, body)

    checked = image_file.check_and_strip(written.getvalue())

    with pytest.raises(BadImage), image_file.opened(checked.data) as image:
        image.load()


def test_the_hash_of_a_picture_is_that_of_its_bytes() -> None:
    checked = image_file.check_and_strip(_encoded("PNG"))

    assert checked.sha256 == hashlib.sha256(checked.data).hexdigest()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 1000, b"<html>Bad Gateway</html>", SIGNATURE, b"GIF89a" + b"\0" * 100],
    ids=["nothing", "zeros", "html", "signature", "gif"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadImage) as caught:
        image_file.check_and_strip(data)

    assert caught.value.code == "picture_broken"


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (20_000, 1),
        (1, 20_000),
        (20_000, 20_000),
        (MAX_SIDE + 1, 1),
        (9_500, 9_500),
        (5793, 5793),
    ],
)
def test_a_huge_picture_is_refused_by_its_header_alone(width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # No pixel is there: whoever tried to unpack it would find it broken.
    data = SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"") + _chunk(b"IEND", b"")

    with pytest.raises(ImageTooLarge) as caught:
        image_file.check_and_strip(data)

    assert caught.value.code == "picture_too_large"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_small_file_with_many_pixels_is_refused_before_it_is_decoded(kind: str) -> None:
    if kind == "WEBP":
        # An animation whose canvas is larger than its frames.
        frames = [_gradient("RGB"), _gradient("RGB").rotate(90)]
        data = bytearray(_saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
        at = data.index(b"VP8X") + 12
        data[at : at + 6] = (8191).to_bytes(3, "little") * 2
    else:
        data = bytearray(_encoded("JPEG"))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 8192, 8192)

    with pytest.raises(ImageTooLarge) as caught:
        image_file.check_and_strip(bytes(data))

    assert caught.value.sentence == "the picture has 8192 × 8192 pixels"


def test_texts_that_unpack_to_gigabytes_are_not_unpacked() -> None:
    bomb = zlib.compress(b"a" * 2**22)
    original = _encoded("PNG")
    end = original.index(b"IDAT") - 4
    texts = _chunk(b"zTXt", b"prompt\0\0" + bomb) + _chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)

    picture = image_file.check_and_strip(original[:end] + texts + original[end:])

    assert picture == image_file.check_and_strip(original)


def test_a_png_of_a_million_chunks_is_broken() -> None:
    original = _encoded("PNG")
    end = original.index(b"IDAT") - 4

    with pytest.raises(BadImage, match="chunks"):
        image_file.check_and_strip(
            original[:end] + _chunk(b"tEXt", b"") * 1_000_000 + original[end:]
        )


def test_a_jpeg_of_a_thousand_scans_is_broken() -> None:
    original = _encoded("JPEG", progressive=True)
    last_scan = original[original.rindex(b"\xff\xda") : -2]

    with pytest.raises(BadImage, match="scans"):
        image_file.check_and_strip(original[:-2] + last_scan * 1_000 + original[-2:])


def test_of_a_jpeg_with_several_pictures_the_first_stays() -> None:
    frames = [_gradient("RGB"), _gradient("RGB").rotate(90)]

    picture = image_file.check_and_strip(
        _saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    )

    assert picture.format == "jpeg"
    assert Image.open(io.BytesIO(picture.data)).format == "JPEG"


async def test_pictures_are_read_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def work(data: bytes) -> bytes:
        both.wait()
        return data

    read = await asyncio.gather(*(image_file.in_thread(work, data) for data in (b"a", b"b")))

    assert read == [b"a", b"b"]


async def test_pictures_that_are_read_together_hold_no_more_pixels_than_one_may() -> None:
    chance, lock, held, most = random.Random(1), threading.Lock(), 0, 0

    def work(data: bytes) -> None:
        nonlocal held, most
        width, height = struct.unpack(">II", data)
        with image_file.decoding((width, height)):
            with lock:
                held += width * height
                most = max(most, held)
            time.sleep(0.001)  # as decoding does, it lets the other threads run
            with lock:
                held -= width * height

    heights = [chance.choice([1, 1500, 2000, MAX_PIXELS // MAX_SIDE]) for _ in range(100)]
    await asyncio.gather(
        *(image_file.in_thread(work, struct.pack(">II", MAX_SIDE, height)) for height in heights)
    )

    assert (held, most) == (0, MAX_PIXELS)


def test_the_widest_picture_that_is_allowed_passes() -> None:
    picture = image_file.check_and_strip(_encoded("PNG", size=(MAX_SIDE, 1)))

    assert picture.width == MAX_SIDE


def test_more_than_fifty_mebibytes_are_refused() -> None:
    with pytest.raises(ImageTooLarge):
        image_file.check_and_strip(b"\0" * (MAX_BYTES + 1))


@given(st.data())
def test_a_damaged_picture_is_a_picture_or_broken_or_too_large(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP"]))
    damaged = bytearray(WHOLE[kind])
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))

    try:
        picture = image_file.check_and_strip(bytes(damaged))
    except (BadImage, ImageTooLarge):
        return

    assert picture.width <= MAX_SIDE


def _gradient(mode: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    image = Image.linear_gradient("L").resize(size)
    if mode in ("LA", "RGBA", "CMYK"):
        return image.convert("RGB").convert(mode)
    return image.convert(mode)


def _encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **more: Any) -> bytes:
    return _saved(_gradient(mode, size), kind, **more)


def _saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = SECRET
    return exif


def _pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> list[str]:
    kinds, start = [], len(SIGNATURE)
    while start < len(data):
        (length,) = struct.unpack_from(">I", data, start)
        kinds.append(data[start + 4 : start + 8].decode())
        start += 12 + length
    return kinds


WHOLE = {kind: _encoded(kind) for kind in ("PNG", "JPEG", "WEBP")}
