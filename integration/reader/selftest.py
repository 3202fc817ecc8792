#!/usr/bin/env python3
"""Proves the reader on stores that this file writes itself, byte by byte, and then damages.

    selftest.py        ends with 0 and one line, or with what was not as it should be
"""
import copy
import json
import os
import stat
import subprocess
import sys
import tempfile

import blake3
import zstandard
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FRAME = 1 << 20
READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "read_store.py")
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
RUN = "00112233445566aa"
ROOT = os.geteuid() == 0
OWNER = (1234, 4321) if ROOT else (os.geteuid(), os.getegid())
BEFORE_1970 = -1_500_000_000 * 10**9 + 999_999_999


def number(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def signed(value):
    return number(value * 2 if value >= 0 else -value * 2 - 1)


def text(value):
    return number(len(value)) + value


def block(tag, body):
    return (0x184D2A5B).to_bytes(4, "little") + (len(body) + 4).to_bytes(4, "little") + tag + body


def compress(raw, prefix=b""):
    before = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
    return zstandard.ZstdCompressor(level=3, dict_data=before, write_content_size=True).compress(raw)


def row(before, path, tag, tail=b"", mode=0o644, modified=10**18 + 7, xattrs=(), flags=0):
    """One row as FORMAT.md says; owners are numbers that no passwd file knows."""
    shared = len(os.path.commonprefix([before, path]))
    out = number(shared) + text(path[shared:]) + tag + number(mode) + number(OWNER[0]) + number(OWNER[1])
    out += signed(modified // 10**9) + number(modified % 10**9)
    out += number(77) + signed(5) + number(6) + number(flags)
    out += number(len(xattrs)) + b"".join(text(name) + text(value) for name, value in xattrs)
    return text(out + tail)


def file(size, *extents, exponent=12, chunks=None):
    out = number(size) + number(len(extents))
    for pack, length, position in extents:
        out += number(pack) + number(length) + (number(position) if pack else b"")
    chunks = -(-size // FRAME) if chunks is None else chunks
    return out + number(exponent) + number(chunks) + bytes(range(16)) * chunks


CONTENT = b"".join(i.to_bytes(4, "little") for i in range(3 * FRAME // 4)) + b"the end"
ROWS = [
    (b"", b"d", b"", {"mode": 0o2750}),
    (b"a", b"d", b"", {"mode": 0o555, "modified": BEFORE_1970}),
    (b"a/link", b"l", text(b"../../outside"), {"mode": 0o777}),
    (b"a/\xff\n", b"f", file(10, (4, 10, FRAME - 5)), {"xattrs": [(b"user.origin", b"\x00\x01")]}),
    (b"a\x01", b"p", b"", {"mode": 0o600}),
    (b"big", b"f", file(len(CONTENT), (4, len(CONTENT), 0)), {"mode": 0o4755}),
    (b"name", b"h", text(b"big"), {}),
    (b"nothing", b"f", file(0), {}),
    (b"socket", b"s", b"", {}),
    (b"sparse", b"f", file(FRAME * 5 + 7, (0, FRAME * 4, 0), (4, 7, FRAME * 3), (0, FRAME, 0)), {}),
]
if ROOT:
    ROWS.insert(6, (b"device", b"c", number(1) + number(3), {}))


class Pack:
    """One pack as it grows: frames and blocks in the order in which they are put."""

    def __init__(self, number):
        self.id, self.data, self.frame_list, self.raw_bytes = number * 4, b"", b"", 0

    def frames(self, content):
        for start in range(0, len(content), FRAME):
            raw = content[start : start + FRAME]
            stored = compress(raw)
            self.frame_list += len(self.data).to_bytes(8, "little") + len(stored).to_bytes(4, "little")
            self.frame_list += len(raw).to_bytes(4, "little") + blake3.blake3(raw).digest()
            self.data += stored
            self.raw_bytes += len(raw)

    def block(self, tag, body):
        data = block(tag, body)
        ref = {"offset": len(self.data), "length": len(data), "hash": blake3.blake3(data).hexdigest()}
        self.data += data
        return ref

    def segment(self, rows, ground=None):
        """Writes rows, and gives what a root says of them, and how many they are; `ground` is what `put` had before."""
        before, raw = b"", b""
        for path, tag, tail, more in rows:
            raw += row(before, path, tag, tail, **more)
            before = path
        ref = self.block(b"BKSD", compress(raw, ground[1])) if ground else self.block(b"BKSG", compress(raw))
        place = number(self.id) + binary(ref) + number(len(raw))
        below = number(ground[0]) + ground[2] if ground else number(0)
        self.put = self.id, raw, binary(ref) + number(len(raw))
        return place + number(len(rows)) + below + text(before), len(rows)

    def root(self, *segments):
        body = number(len(segments)) + b"".join(segment for segment, _ in segments)
        rows = sum(count for _, count in segments)
        return {"pack": self.id, "block": self.block(b"BKRT", body), "segments": len(segments), "rows": rows}

    def store(self, folder):
        """Ends the pack and writes it; gives what a manifest says of it."""
        lists = [self.block(b"BKFL", self.frame_list)] if self.frame_list else []
        body = number(self.raw_bytes) + number(len(lists)) + b"".join(binary(ref) for ref in lists)
        footer = self.block(b"BKFT", body)
        tail = (1).to_bytes(4, "little") + footer["offset"].to_bytes(8, "little")
        self.data += block(b"BKTL", tail + footer["length"].to_bytes(4, "little") + bytes.fromhex(footer["hash"]))
        name = f"{self.id // 4:08}-20261121T020000Z-{RUN}.tar.zst"
        with open(os.path.join(folder, name), "wb") as out:
            out.write(self.data)
        listed = {"id": self.id, "name": name, "length": len(self.data), "raw_bytes": self.raw_bytes}
        return {**listed, "hash": blake3.blake3(self.data).hexdigest(), "footer": footer}


def binary(ref):
    return number(ref["offset"]) + number(ref["length"]) + bytes.fromhex(ref["hash"])


def manifest(folder, count, packs, roots, change=None):
    """Signs and writes a manifest; `change` may spoil it before it is signed."""
    body = {"format": 1, "host": "vm-1", "source": "web:/srv", "number": count, "packs": packs, "entries": roots}
    body["totals"] = {"entries": sum(root["rows"] for root in roots)}
    if change:
        change(body)
    line = json.dumps(body).encode()
    signature = KEY.sign(b"backupd manifest v1\n" + line).hex()
    path = os.path.join(folder, f"{count:08}.manifest")
    with open(path, "wb") as out:
        seal = {"signed_by": PUBLIC, "signature": signature}
        out.write(line + b"\n" + json.dumps(seal, separators=(",", ":")).encode() + b"\n")
    return path


def write(store, rows=None, change=None):
    """A store with one snapshot; `change` may spoil its manifest."""
    folder = os.path.join(store, "vm-1", "web=3A=2Fsrv")
    os.makedirs(folder)
    pack, rows = Pack(1), rows or ROWS
    pack.frames(CONTENT)
    half = len(rows) // 2
    roots = [pack.root(pack.segment(rows[:half]), pack.segment(rows[half:]))]
    listed = pack.store(folder)
    return os.path.join(folder, listed["name"]), manifest(folder, 1, [listed], roots, change)


def read(store, *more):
    command = [sys.executable, READER, "--store", store, "--host", "vm-1", "--source", "web:/srv", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def whole(here):
    """Everything comes back as it was written."""
    write(os.path.join(here, "whole"))
    done = read(os.path.join(here, "whole"), "--check", "--key", PUBLIC)
    assert done.returncode == 0 and "is whole" in done.stdout, done
    listed = read(os.path.join(here, "whole"), "--list").stdout.splitlines()
    assert len(listed) == len(ROWS) and "\\udcff\\n" in listed[3], listed
    into = os.path.join(here, "into").encode()
    done = read(os.path.join(here, "whole"), "--into", os.fsdecode(into))
    assert done.returncode == 0 and "1 sockets left out" in done.stdout, done

    def at(name):
        return os.path.join(into, name)

    assert open(at(b"big"), "rb").read() == CONTENT
    assert open(at(b"a/\xff\n"), "rb").read() == CONTENT[FRAME - 5 :][:10]
    assert os.getxattr(at(b"a/\xff\n"), "user.origin") == b"\x00\x01"
    assert os.readlink(at(b"a/link")) == b"../../outside"
    assert os.stat(at(b"name")).st_ino == os.stat(at(b"big")).st_ino
    sparse = open(at(b"sparse"), "rb").read()
    assert sparse == bytes(4 * FRAME) + CONTENT[3 * FRAME :][:7] + bytes(FRAME)
    assert os.stat(at(b"sparse")).st_blocks * 512 < FRAME
    for path, _, _, more in ROWS:
        if path == b"socket":
            assert not os.path.lexists(at(path))
        elif path != b"name":
            seen = os.lstat(os.path.join(into, path) if path else into)
            assert (seen.st_uid, seen.st_gid) == OWNER, path
            assert stat.S_IMODE(seen.st_mode) == more.get("mode", 0o644), path
            assert seen.st_mtime_ns == more.get("modified", 10**18 + 7), path


def incremental(here):
    """Extents, segments and roots in several packs, one of which begins with a block and one has no frame, which
    has a segment that is a difference."""
    store = os.path.join(here, "incremental")
    folder = os.path.join(store, "vm-1", "web=3A=2Fsrv")
    os.makedirs(folder)
    first, second, third = Pack(1), Pack(2), Pack(3)
    first.frames(CONTENT)
    top = first.segment([(b"", b"d", b"", {}), (b"a", b"f", file(9, (4, 9, 7)), {"flags": 3})])
    old = first.root(first.segment([(b"zz", b"f", file(0, chunks=0), {})]))
    changed = file(FRAME + 20, (4, FRAME, 5), (8, 7, 1), (0, 3, 0), (4, 10, 0))
    middle = second.segment([(b"b", b"f", changed, {}), (b"c", b"f", file(2, (8, 2, 0)), {})])
    ground = second.put
    second.frames(b"new bytes")
    renamed = third.segment([(b"c", b"f", file(2, (8, 2, 0)), {}), (b"d", b"f", changed, {})], ground)
    assert len(third.data) < 100, "most of it is in the other segment"
    one = first.store(folder)
    roots = [second.root(top, middle), old]
    two = second.store(folder)
    manifest(folder, 2, [one, two], roots)
    roots = [third.root(top, renamed), old]
    three = third.store(folder)
    manifest(folder, 3, [one, two, three], roots)
    want = CONTENT[5:][:FRAME] + b"ew byte" + bytes(3) + CONTENT[:10]
    for count, name in ((2, "b"), (3, "d")):
        done = read(store, "--number", str(count), "--check")
        assert done.returncode == 0 and "is whole" in done.stdout, done
        into = os.path.join(here, f"into{count}")
        done = read(store, "--number", str(count), "--into", into)
        assert done.returncode == 0, done
        assert open(os.path.join(into, name), "rb").read() == want
        assert open(os.path.join(into, "a"), "rb").read() == CONTENT[7:16]
        assert os.path.getsize(os.path.join(into, "zz")) == 0


def without_the_module(here):
    """The program zstd stands in for the module."""
    hide = "import runpy, sys; sys.modules['zstandard'] = None; sys.argv = sys.argv[1:]; "
    run = [sys.executable, "-c", hide + "runpy.run_path(sys.argv[0], run_name='__main__')", READER]
    for name in ("whole", "incremental"):
        place = ["--store", os.path.join(here, name), "--host", "vm-1", "--source", "web:/srv", "--check"]
        done = subprocess.run(run + place, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "is whole" in done.stdout, done


def refused(here):
    """Each kind of damage ends the reading and is named."""
    count = 0

    def check(why, *more, rows=None, change=None, spoil=None):
        nonlocal count
        count += 1
        store = os.path.join(here, f"bad{count}")
        places = write(store, rows, change)
        if spoil:
            spoil(*places)
        done = read(store, *(more or ["--check"]))
        assert done.returncode == 1 and why in done.stderr, (why, done)

    def flip(place, offset):
        with open(place, "r+b") as out:
            out.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
            byte = out.read(1)
            out.seek(-1, os.SEEK_CUR)
            out.write(bytes([byte[0] ^ 1]))

    def respell(place):
        with open(place, "rb") as file:
            data = file.read()
        with open(place, "wb") as out:
            out.write(data.replace(b'","signature"', b'", "signature"'))

    def at(path, tag=b"d", tail=b""):
        rows = copy.copy(ROWS)
        rows[-1] = (path, tag, tail, {})
        return rows

    def into(name):
        return ["--into", os.path.join(here, name)]

    check("not by the given key", "--check", "--key", "00" * 32)
    check("signature does not fit", spoil=lambda pack, manifest: flip(manifest, 40))
    check("spelled otherwise", spoil=lambda pack, manifest: respell(manifest))
    check("is damaged", spoil=lambda pack, manifest: flip(pack, 1000))
    check("is damaged", *into("never"), spoil=lambda pack, manifest: flip(pack, 1000))
    check("tail of", spoil=lambda pack, manifest: flip(pack, -1))
    check("another length", spoil=lambda pack, manifest: os.truncate(pack, os.path.getsize(pack) - 1))
    check("No such file", spoil=lambda pack, manifest: os.remove(pack))
    check("format version 2", change=lambda body: body.update(format=2))
    check("another snapshot", change=lambda body: body.update(host="vm-2"))
    check("another number of entries", change=lambda body: body["totals"].update(entries=3))
    check("leaves its root", rows=at(b"../x"))
    check("no folder to lie in", *into("never either"), rows=at(b"zlink/x"))
    check("out of order", rows=at(b"b"))
    check("outside", rows=at(b"z", b"f", file(9, (4, 9, len(CONTENT)))))
    check("not listed", rows=at(b"z", b"f", file(9, (8, 9, 0))))
    check("do not add up", rows=at(b"z", b"f", file(9, (4, 8, 0))))
    check("chunks do not add up", rows=at(b"z", b"f", file(9, (4, 9, 0), chunks=2)))
    check("page size", rows=at(b"z", b"f", file(9, (4, 9, 0), exponent=21)))
    check("unknown flag", rows=[*ROWS, (b"z", b"p", b"", {"flags": 4})])


def main():
    with tempfile.TemporaryDirectory() as here:
        whole(here)
        incremental(here)
        without_the_module(here)
        refused(here)
    print("the reader reads what is whole and refuses what is not")


main()
