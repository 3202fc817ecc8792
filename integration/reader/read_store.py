#!/usr/bin/env python3
"""Reads a backupd store (format 1) with no code of backupd: lists, checks or restores one snapshot.

It is written from FORMAT.md alone, so that a second program agrees on what the bytes mean, and so that
a store can be read where backupd itself is not at hand. It reads a store that is a folder.

    read_store.py --store DIR --host HOST --source SOURCE [--number N] [--key HEX] --list | --check | --into DIR

Needs the Python modules blake3 and cryptography, and zstandard or the program zstd. Restoring owners and
devices needs root. Nothing is believed before its hash was checked; the first thing that is wrong ends
the program with status 1 and a sentence.
"""
import argparse
import collections
import json
import os
import stat
import subprocess
import sys
import tempfile

import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

try:
    import zstandard
except ImportError:
    zstandard = None

FORMAT = 1
FRAME_BYTES = 1 << 20
FRAME_ROW_BYTES = 48
CHUNK_BYTES = 1 << 20
FRAMES_PER_LIST = 2048
BLOCK_BYTES_MAX = 32 << 20
SEGMENT_BYTES_MAX = (512 << 10) + (16 << 20) + 64
GROUND_BYTES_MAX = 1 << 20
MANIFEST_BYTES_MAX = 16 << 20
SKIPPABLE_MAGIC = 0x184D2A5B
SIGNED_TEXT = b"backupd manifest v1\n"
ZSTD_MAGIC = bytes.fromhex("28b52ffd")


class Bad(Exception):
    """What is wrong with the store."""


def want(fine, why):
    """Ends the reading with `why` unless all is fine."""
    if not fine:
        raise Bad(why)


def printable(path):
    """A path as text that cannot steer a terminal."""
    return ascii(path.decode("utf-8", "surrogateescape"))[1:-1] if path else "."


# --- numbers and bytes ---------------------------------------------------------------------------


class Cursor:
    """Reads numbers (LEB128, shortest form only) and byte strings one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        want(count <= len(self.data) - self.at, "a table ends early")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                want(value < 1 << 64 and (byte != 0 or shift == 0), "a number is not in its one form")
                return value
            shift += 7
            want(shift < 70, "a number is over 64 bits")

    def signed(self):
        number = self.number()
        return (number >> 1) ^ -(number & 1)

    def bytes(self):
        return self.take(self.number())

    def ended(self):
        return self.at == len(self.data)


def decode(stored, raw, limit, prefix=b""):
    """One zstd frame that must hold exactly `raw` bytes, and was compressed with `prefix` before it."""
    want(raw <= limit and stored[:4] == ZSTD_MAGIC, "a frame is not what its row says")
    if zstandard is None:
        data = decode_by_program(stored, prefix)
    else:
        try:
            want(zstandard.frame_content_size(stored) == raw, "a frame states another length than its row")
            before = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if prefix else None
            decoder = zstandard.ZstdDecompressor(dict_data=before, max_window_size=1 << 23)
            data = decoder.decompress(stored, max_output_size=raw, allow_extra_data=False)
        except zstandard.ZstdError as why:
            raise Bad(f"a frame cannot be decoded: {why}") from why
    want(len(data) == raw, "a frame decodes to another length than its row says")
    return data


def decode_by_program(stored, prefix):
    """The same by the program `zstd`, which takes a prefix from a file only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(prefix)
        file.flush()
        before = [f"--patch-from={file.name}"] if prefix else []
        done = subprocess.run(["zstd", "-dcq", *before], input=stored, capture_output=True, check=False)
    want(done.returncode == 0, "a frame cannot be decoded")
    return done.stdout


# --- packs ---------------------------------------------------------------------------------------

BlockRef = collections.namedtuple("BlockRef", "offset length hash")
Frame = collections.namedtuple("Frame", "offset stored raw hash")


def json_block(value):
    return BlockRef(value["offset"], value["length"], bytes.fromhex(value["hash"]))


def read_block_ref(cursor):
    return BlockRef(cursor.number(), cursor.number(), cursor.take(32))


def block_body(tag, data):
    """What a skippable frame with our tag holds."""
    header = SKIPPABLE_MAGIC.to_bytes(4, "little") + (len(data) - 8).to_bytes(4, "little") + tag
    want(len(data) >= 12 and data[:12] == header, f"a block is no {tag.decode()} of its length")
    return data[12:]


class Pack:
    """One stored object. Its frames are found by position in the raw content stream."""

    CACHED_FRAMES = 16

    def __init__(self, folder, listed):
        self.name, self.length = listed["name"], listed["length"]
        self.hash = bytes.fromhex(listed["hash"])
        want("/" not in self.name, f"pack name {self.name!r} leaves its folder")
        self.file = open(os.path.join(folder, self.name), "rb")
        want(os.fstat(self.file.fileno()).st_size == self.length, f"pack {self.name} has another length")
        self.cache = collections.OrderedDict()
        footer = json_block(listed["footer"])
        self.check_tail(footer)
        self.read_footer(footer, listed["raw_bytes"])

    def read(self, offset, length):
        want(offset + length <= self.length, f"something lies outside pack {self.name}")
        self.file.seek(offset)
        data = self.file.read(length)
        want(len(data) == length, f"pack {self.name} ends early")
        return data

    def block(self, tag, ref):
        want(ref.length <= BLOCK_BYTES_MAX, "a block is over 32 MiB")
        data = self.read(ref.offset, ref.length)
        want(blake3.blake3(data).digest() == ref.hash, f"a {tag.decode()} block of {self.name} is damaged")
        return block_body(tag, data)

    def check_tail(self, footer):
        """The tail says the same as the manifest, so that a pack can be read without one."""
        body = block_body(b"BKTL", self.read(self.length - 60, 60))
        want(int.from_bytes(body[:4], "little") == FORMAT, "pack of another format version")
        there = BlockRef(int.from_bytes(body[4:12], "little"), int.from_bytes(body[12:16], "little"), body[16:])
        want(there == footer, f"tail of {self.name} and manifest name different footers")

    def read_footer(self, footer, raw_bytes):
        cursor = Cursor(self.block(b"BKFT", footer))
        self.raw_bytes = cursor.number()
        self.lists = [read_block_ref(cursor) for _ in range(cursor.number())]
        frames = -(-self.raw_bytes // FRAME_BYTES)
        want(cursor.ended() and -(-frames // FRAMES_PER_LIST) == len(self.lists), "footer lists too little")
        want(self.raw_bytes == raw_bytes, f"footer of {self.name} and manifest differ")
        self.rows = {}

    def frame_row(self, number):
        """The row of frame `number`, from the list that holds it."""
        which, within = divmod(number, FRAMES_PER_LIST)
        if which not in self.rows:
            body = self.block(b"BKFL", self.lists[which])
            expected = min(FRAMES_PER_LIST, -(-self.raw_bytes // FRAME_BYTES) - which * FRAMES_PER_LIST)
            want(len(body) == expected * FRAME_ROW_BYTES, "a frame list has another length")
            self.rows[which] = body
        row = self.rows[which][within * FRAME_ROW_BYTES :][:FRAME_ROW_BYTES]
        numbers = (int.from_bytes(row[a:b], "little") for a, b in ((0, 8), (8, 12), (12, 16)))
        frame = Frame(*numbers, row[16:])
        want(frame.raw == min(FRAME_BYTES, self.raw_bytes - number * FRAME_BYTES), "a frame has another length")
        return frame

    def frame(self, number):
        """The raw bytes of one frame, checked."""
        if number in self.cache:
            self.cache.move_to_end(number)
            return self.cache[number]
        row = self.frame_row(number)
        data = decode(self.read(row.offset, row.stored), row.raw, FRAME_BYTES)
        want(blake3.blake3(data).digest() == row.hash, f"frame {number} of {self.name} is damaged")
        self.cache[number] = data
        if len(self.cache) > self.CACHED_FRAMES:
            self.cache.popitem(last=False)
        return data

    def content(self, position, length):
        """Pieces of the raw content stream."""
        want(position + length <= self.raw_bytes, f"an extent lies outside {self.name}")
        while length:
            number, within = divmod(position, FRAME_BYTES)
            piece = self.frame(number)[within : within + length]
            yield piece
            position += len(piece)
            length -= len(piece)

    def check_whole(self):
        """Every byte of the object, then every frame by itself."""
        hasher = blake3.blake3()
        self.file.seek(0)
        while data := self.file.read(1 << 20):
            hasher.update(data)
        want(hasher.digest() == self.hash, f"pack {self.name} is damaged")
        for number in range(-(-self.raw_bytes // FRAME_BYTES)):
            self.frame(number)


# --- entries -------------------------------------------------------------------------------------

Entry = collections.namedtuple("Entry", "path tag mode uid gid modified xattrs size extents target device")


def check_path(path, why):
    """Relative, no empty component, no dots: it cannot leave its root."""
    parts = path.split(b"/") if path else []
    fine = all(part not in (b"", b".", b"..") and len(part) <= 255 and 0 not in part for part in parts)
    want(fine and len(path) <= 1 << 20, why)
    return path


def parts(path):
    """Path order is the order of the components: a folder comes just before what it holds."""
    return path.split(b"/") if path else []


def read_extents(cursor, size):
    extents, total = [], 0
    for _ in range(cursor.number()):
        pack, length = cursor.number(), cursor.number()
        want(length > 0, "an extent is empty")
        extents.append((pack, length, cursor.number() if pack else 0))
        total += length
    want(total == size, "extents do not add up to the size of their file")
    return extents


def check_chunks(cursor, size):
    """What the next backup compares with; a restore has no use for it."""
    exponent, count = cursor.number(), cursor.number()
    want(10 <= exponent <= 20, "a page size is out of bounds")
    want(count in (0, -(-size // CHUNK_BYTES)), "chunks do not add up to the size of their file")
    cursor.take(16 * count)


def read_row(row, before):
    """One entry; `before` is the path of the row before it in the same segment."""
    cursor = Cursor(row)
    shared = cursor.number()
    want(shared <= len(before), "a path shares more than there is")
    path = check_path(before[:shared] + cursor.bytes(), "a path leaves its root")
    tag = chr(cursor.take(1)[0])
    mode, uid, gid = cursor.number(), cursor.number(), cursor.number()
    modified = cursor.signed() * 10**9 + cursor.number()
    cursor.number(), cursor.signed(), cursor.number()  # for the next backup only
    want(cursor.number() <= 3, "a row has an unknown flag")
    xattrs = [(cursor.bytes(), cursor.bytes()) for _ in range(cursor.number())]
    size, extents, target, device = 0, [], b"", (0, 0)
    if tag == "f":
        size = cursor.number()
        extents = read_extents(cursor, size)
        check_chunks(cursor, size)
    elif tag == "l":
        target = cursor.bytes()
    elif tag == "h":
        target = check_path(cursor.bytes(), "a hard link leaves its root")
    elif tag in "cb":
        device = (cursor.number(), cursor.number())
    else:
        want(tag in "dps", f"unknown kind {tag!r}")
    want(cursor.ended() and mode <= 0o7777, "a row has other fields than its kind")
    want(path or tag == "d", "the root is no folder")
    return Entry(path, tag, mode, uid, gid, modified, xattrs, size, extents, target, device)


class Snapshot:
    """A manifest whose signature holds, and the packs that it names."""

    def __init__(self, folder, name, key):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
        want(len(data) <= MANIFEST_BYTES_MAX, "a manifest is over 16 MiB")
        lines = data.split(b"\n")
        want(len(lines) == 3 and not lines[2], "a manifest is two lines")
        signature = json.loads(lines[1])
        self.signed_by = signature["signed_by"]
        spelling = '{"signed_by":"%s","signature":"%s"}' % (self.signed_by, signature["signature"])
        want(lines[1] == spelling.lower().encode() and len(lines[1]) == 223, "a signature is spelled otherwise")
        want(key is None or self.signed_by == key.lower(), f"signed by {self.signed_by}, not by the given key")
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.signed_by))
            public.verify(bytes.fromhex(signature["signature"]), SIGNED_TEXT + lines[0])
        except InvalidSignature as why:
            raise Bad("the signature does not fit the manifest") from why
        self.body = json.loads(lines[0])
        want(self.body["format"] == FORMAT, f"format version {self.body['format']} is not {FORMAT}")
        self.packs = {listed["id"]: Pack(folder, listed) for listed in self.body["packs"]}

    def pack(self, number):
        want(number in self.packs, f"pack {number} is not listed")
        return self.packs[number]

    def segments(self):
        """Raw rows and their count, segment by segment."""
        for root in self.body["entries"]:
            cursor = Cursor(self.pack(root["pack"]).block(b"BKRT", json_block(root["block"])))
            count = cursor.number()
            want(count == root["segments"], "a root lists another number of segments")
            for _ in range(count):
                pack, ref = cursor.number(), read_block_ref(cursor)
                raw, rows, ground = cursor.number(), cursor.number(), cursor.number()
                if ground:
                    below = decode(*self.ground(cursor, ground))
                    data = decode(self.pack(pack).block(b"BKSD", ref), raw, GROUND_BYTES_MAX, below)
                else:
                    data = decode(self.pack(pack).block(b"BKSG", ref), raw, SEGMENT_BYTES_MAX)
                yield data, rows, cursor.bytes()
            want(cursor.ended(), "a root is longer than its segments")

    def ground(self, cursor, pack):
        """What a segment is a difference from, which stands by itself."""
        block, raw = self.pack(pack).block(b"BKSG", read_block_ref(cursor)), cursor.number()
        want(raw > 0, "a segment is a difference from nothing")
        return block, raw, GROUND_BYTES_MAX

    def entries(self):
        """All entries in path order, which is checked."""
        latest, total = None, 0
        for raw, rows, last in self.segments():
            cursor, before = Cursor(raw), b""
            for _ in range(rows):
                entry = read_row(cursor.bytes(), before)
                want(latest is None or parts(latest) < parts(entry.path), "entries are out of order")
                before = latest = entry.path
                total += 1
                yield entry
            want(cursor.ended() and before == last, "a segment holds other rows than its root says")
        want(total == self.body["totals"]["entries"], "the table holds another number of entries")

    def content(self, entry):
        """`(offset, bytes)` of what is stored of a file; holes are left out."""
        offset = 0
        for pack, length, position in entry.extents:
            if pack:
                at = offset
                for piece in self.pack(pack).content(position, length):
                    yield at, piece
                    at += len(piece)
            offset += length


# --- what one can do with a snapshot -------------------------------------------------------------


class Folders:
    """The folders from the root of a restore to where the next entry lies, each held open.

    Entries come in path order, so whatever is left is left for good, and then gets its attributes. No path
    is ever resolved as a whole: links cannot lead out, and paths may be longer than the system takes.
    """

    def __init__(self, root):
        self.root, self.open = os.open(root, os.O_RDONLY | os.O_DIRECTORY), []

    def parent_of(self, path):
        """The open folder in which the entry at `path` lies."""
        parent = path.rpartition(b"/")[0]
        while self.open and self.open[-1][0].path != parent:
            self.leave()
        want(self.open, "an entry has no folder to lie in")
        return self.open[-1][1]

    def enter(self, entry):
        if not entry.path:
            self.open.append((entry, self.root))
            return
        parent, name = self.parent_of(entry.path), entry.path.rpartition(b"/")[2]
        os.mkdir(name, 0o700, dir_fd=parent)
        self.open.append((entry, self.descend(parent, name)))

    def leave(self):
        entry, folder = self.open.pop()
        dress(entry, folder)
        if folder != self.root:
            os.close(folder)

    def leave_all(self):
        while self.open:
            self.leave()

    @staticmethod
    def descend(folder, name):
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)

    def link(self, target, folder, name):
        """A further name in `folder` for what lies at `target`."""
        *above, last = parts(target)
        at = os.dup(self.root)
        for part in above:
            at, left = self.descend(at, part), at
            os.close(left)
        os.link(last, name, src_dir_fd=at, dst_dir_fd=folder, follow_symlinks=False)
        os.close(at)


def restore(snapshot, into):
    """Creates everything below `into`, which must be empty or not there; says how many sockets it left out."""
    os.makedirs(into, exist_ok=True)
    want(not os.listdir(into), f"{into} is not empty")
    folders, skipped = Folders(into), 0
    for entry in snapshot.entries():
        if entry.tag == "d":
            folders.enter(entry)
        elif entry.tag == "s":
            skipped += 1  # recorded only: their programs make them again
        else:
            create(snapshot, entry, folders)
    folders.leave_all()
    return skipped


def create(snapshot, entry, folders):
    folder, name = folders.parent_of(entry.path), entry.path.rpartition(b"/")[2]
    if entry.tag == "h":
        folders.link(entry.target, folder, name)
        return
    if entry.tag == "f":
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        with os.fdopen(handle, "wb") as file:
            for offset, piece in snapshot.content(entry):
                file.seek(offset)
                file.write(piece)
            file.truncate(entry.size)
    elif entry.tag == "l":
        os.symlink(entry.target, name, dir_fd=folder)
    elif entry.tag == "p":
        os.mkfifo(name, 0o600, dir_fd=folder)
    else:
        kind = stat.S_IFCHR if entry.tag == "c" else stat.S_IFBLK
        os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=folder)
    # Not every call that sets an attribute takes a folder and a name; all take this path.
    dress(entry, b"/proc/self/fd/%d/%s" % (folder, name), follow_symlinks=False)


def dress(entry, place, **how):
    """Owner first, because a change of owner takes set-id bits and capabilities away; times last."""
    if os.geteuid() == 0:
        os.chown(place, entry.uid, entry.gid, **how)
    if entry.tag != "l":
        os.chmod(place, entry.mode)
    for name, value in entry.xattrs:
        os.setxattr(place, name, value, **how)
    os.utime(place, ns=(entry.modified, entry.modified), **how)


def check(snapshot):
    """Reads every byte that the snapshot and its packs hold."""
    for pack in snapshot.packs.values():
        pack.check_whole()
    for entry in snapshot.entries():
        for _ in snapshot.content(entry):
            pass


def show(snapshot):
    for e in snapshot.entries():
        arrow = f" -> {printable(e.target)}" if e.target else ""
        print(f"{e.tag} {e.mode:04o} {e.uid}:{e.gid} {e.size:>12} {printable(e.path)}{arrow}")


def folder_of(source):
    """The folder of a source: what is not plain becomes `=` and two hexadecimal digits."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
    name = "".join(chr(b) if b in plain else f"={b:02X}" for b in source.encode())
    return "=6Fwner.json" if name == "owner.json" else name


def newest(folder):
    names = [n for n in os.listdir(folder) if n.endswith(".manifest") and len(n) == 17 and n[:8].isdigit()]
    want(names, f"no snapshot in {folder}")
    return max(names)


def main():
    parser = argparse.ArgumentParser(description="reads one snapshot of a backupd store that is a folder")
    for name in ("store", "host", "source"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--number", type=int, help="the newest, if not given")
    parser.add_argument("--key", help="public key of the host, in hexadecimal; refuses any other")
    deed = parser.add_mutually_exclusive_group(required=True)
    deed.add_argument("--into", help="restore into this empty folder")
    deed.add_argument("--list", action="store_true")
    deed.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    try:
        folder = os.path.join(asked.store, asked.host, folder_of(asked.source))
        name = f"{asked.number:08}.manifest" if asked.number else newest(folder)
        snapshot = Snapshot(folder, name, asked.key)
        body = snapshot.body
        mine = body["host"] == asked.host and body["source"] == asked.source and name == f"{body['number']:08}.manifest"
        want(mine, "the manifest belongs to another snapshot than where it lies")
        if asked.list:
            show(snapshot)
        elif asked.check:
            check(snapshot)
            print(f"{asked.source}@{body['number']} is whole, signed by {snapshot.signed_by}")
        else:
            skipped = restore(snapshot, asked.into)
            print(f"{asked.source}@{body['number']} restored, {skipped} sockets left out")
    except (Bad, OSError, KeyError, ValueError) as why:
        print(f"cannot read the snapshot: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
