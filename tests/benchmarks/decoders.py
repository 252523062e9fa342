"""`make bench-decoders`: what one picture and one mask cost in each decoder that could have been chosen.

500x375 drawn pets (JPEG, quality 90; trimap as PNG) on their way to 128x128. CPU time in one thread; and the wall time
of an item in two threads, which is half of it on two cores for who releases the interpreter's lock.
"""

import io
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import deflate
import imagecodecs
import numpy as np
import pyspng
import simplejpeg
from kornia_rs.io import decode_image_png_u8
from PIL import Image
from rich.console import Console
from rich.table import Table
from zlib_ng import zlib_ng

from streaming.demo.pets import draw_pet, encode_pet

COUNT, TIMES = 64, 12
HEIGHT, WIDTH = 375, 500
INFLATED = HEIGHT * (WIDTH + 1)


def main() -> None:
    pets = [encode_pet(draw_pet(1, index)) for index in range(COUNT)]
    jpegs, masks = [jpeg for jpeg, _ in pets], [mask for _, mask in pets]
    pictures = [bytes(cv2.imencode(".png", simplejpeg.decode_jpeg(jpeg, "BGR"))[1]) for jpeg in jpegs[:8]]
    deflated = [b"".join(data(mask)) for mask in masks]
    half = [simplejpeg.decode_jpeg(jpeg, "RGB", min_height=188, min_width=250) for jpeg in jpegs]
    table = Table(title=f"milliseconds an item, the least of {TIMES}")
    for name in ("", "CPU, one thread", "wall, two threads"):
        table.add_column(name, justify="right" if name else "left")

    def row(name: str, work: Callable[[Any], object], items: list[Any]) -> None:
        table.add_row(name, f"{one_thread(work, items):.3f}", f"{two_threads(work, items):.3f}")

    row("JPEG, simplejpeg, 1/2", lambda it: simplejpeg.decode_jpeg(it, "RGB", min_height=188, min_width=250), jpegs)
    row("JPEG, simplejpeg, 3/8", lambda it: simplejpeg.decode_jpeg(it, "RGB", min_height=141, min_width=188), jpegs)
    row("JPEG, simplejpeg, whole", lambda it: simplejpeg.decode_jpeg(it, "RGB"), jpegs)
    row("JPEG, OpenCV, 1/2", lambda it: cv2.imdecode(np.frombuffer(it, np.uint8), cv2.IMREAD_REDUCED_COLOR_2), jpegs)
    row("JPEG, imagecodecs, whole", imagecodecs.jpeg8_decode, jpegs)
    row("mask, kornia-rs", lambda it: decode_image_png_u8(it, (HEIGHT, WIDTH), "mono"), masks)
    row("mask, OpenCV", lambda it: cv2.imdecode(np.frombuffer(it, np.uint8), cv2.IMREAD_UNCHANGED), masks)
    row("mask, pyspng", pyspng.load, masks)
    row("mask, imagecodecs", imagecodecs.png_decode, masks)
    row("mask, imagecodecs' spng", imagecodecs.spng_decode, masks)
    row("mask, Pillow", lambda it: np.asarray(Image.open(io.BytesIO(it))), masks)
    row("mask, inflate alone, zlib", zlib.decompress, deflated)
    row("mask, inflate alone, zlib-ng", lambda it: zlib_ng.decompress(it, bufsize=INFLATED), deflated)
    row("mask, inflate alone, libdeflate", lambda it: deflate.zlib_decompress(it, INFLATED), deflated)
    row("PNG picture, kornia-rs", lambda it: decode_image_png_u8(it, (HEIGHT, WIDTH), "rgb"), pictures)
    row("PNG picture, OpenCV", lambda it: cv2.imdecode(np.frombuffer(it, np.uint8), cv2.IMREAD_COLOR), pictures)
    row("resize 250x188, linear", lambda it: cv2.resize(it, (128, 128)), half)
    row("resize 250x188, area", lambda it: cv2.resize(it, (128, 128), interpolation=cv2.INTER_AREA), half)
    Console().print(table)


def data(png: bytes) -> Iterable[bytes]:
    """The contents of the IDAT chunks."""
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            yield png[at + 8 : at + 8 + size]
        at += 12 + size


def one_thread(work: Callable[[Any], object], items: list[Any]) -> float:
    """CPU milliseconds an item."""
    least = float("inf")
    for _ in range(TIMES):
        began = time.thread_time()
        for item in items:
            work(item)
        least = min(least, time.thread_time() - began)
    return 1000 * least / len(items)


def two_threads(work: Callable[[Any], object], items: list[Any]) -> float:
    """Wall milliseconds an item."""

    def run() -> None:
        for item in items:
            work(item)

    least = float("inf")
    for _ in range(TIMES):
        threads = [threading.Thread(target=run) for _ in range(2)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        least = min(least, time.perf_counter() - began)
    return 1000 * least / len(items) / 2


if __name__ == "__main__":
    main()
