#!/usr/bin/env python3
"""Writes the seeds of fuzz/pool_image_fuzz.cc: the metadata of every sample pool as changes to an
empty disk. Run it when the form of the input or the sample pools change:

    fuzz/pool_image_seeds.py [--to FOLDER]      (default fuzz/corpus/pool_image)
"""
import argparse
import json
import pathlib
import struct
import subprocess

PAGE = 4096
ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES = ROOT / "tests/vectors/lvs-images"
METADATA_PAGES_MAX = 512  # the metadata of all of them ends before
CHECKSUM_WRONG = 0x8000
TORN_MAX = 1024  # a page without a checksum that uses more is data


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def change(page, at, data, seal):
    length = len(data) | (0 if seal else CHECKSUM_WRONG)
    return struct.pack("<HHH", page, at, length) + data


def sealed(content):
    return crc32c(content[:-4]) == struct.unpack("<I", content[-4:])[0]


def changes(page, content):
    """The page in few bytes: zeros behind the descriptors are left out."""
    if not sealed(content):
        return change(page, 0, content.rstrip(b"\0"), False)
    head = content[: PAGE - 8].rstrip(b"\0")
    return change(page, 0, head, False) + change(page, PAGE - 8, content[-8:-4], True)


def seed(image, block_size):
    raw = subprocess.run(["zstd", "-q", "-d", "-c", image], check=True, capture_output=True).stdout
    (start, count) = struct.unpack_from("<II", raw, 48)
    stride = struct.unpack_from("<I", raw, 92)[0] or PAGE
    end = min(METADATA_PAGES_MAX, (start + count) * stride // PAGE)
    out = bytes([0x1F, 3 if block_size == 4096 else 2])
    for page in range(end):
        content = raw[page * PAGE : (page + 1) * PAGE]
        used = len(content.rstrip(b"\0"))
        if used != 0 and not (page >= start and not sealed(content) and used > TORN_MAX):
            out += changes(page, content)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=pathlib.Path, default=ROOT / "fuzz/corpus/pool_image")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for entry in json.loads((IMAGES / "manifest.json").read_text()):
        name = entry["file"].removesuffix(".img.zst")
        (folder / name).write_bytes(seed(IMAGES / entry["file"], entry["block_size"]))


if __name__ == "__main__":
    main()
