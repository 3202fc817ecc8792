#!/usr/bin/env python3
"""A log in segments with mapped indexes: the pattern in which Kafka and ZooKeeper keep their files.

Records are appended, each with a checksum; where a record begins is stored into an index of full length that is
mapped, so that its file's times do not tell of it. Neither is ever synced, as brokers do it.

segments.py write FOLDER        takes a number a line, appends it as a record, says it back
segments.py check FOLDER A-B…   all records of these ranges are there, whole, and found by the index

What is not whole at the end of the newest segment was never acknowledged.
"""
import mmap
import os
import struct
import sys
import zlib

RECORDS = 2000
PAYLOAD = 500
HEAD = struct.Struct(">QII")
SLOT = struct.Struct(">I")


def names(folder, segment):
    stem = os.path.join(folder, f"{segment:012}")
    return stem + ".log", stem + ".index"


class Segment:
    """The one that is written to."""

    def __init__(self, folder, number):
        log, index = names(folder, number)
        self.number = number
        self.log = open(log, "ab", buffering=0)
        new = not os.path.exists(index)
        self.file = open(index, "w+b" if new else "r+b")
        if new:
            self.file.truncate(RECORDS * SLOT.size)
        self.index = mmap.mmap(self.file.fileno(), RECORDS * SLOT.size)

    def append(self, number):
        payload = number.to_bytes(8, "big") * (PAYLOAD // 8)
        begin = self.log.tell()
        self.log.write(HEAD.pack(number, len(payload), zlib.crc32(payload)) + payload)
        # Zero stands for no record, so the place is stored with one added.
        SLOT.pack_into(self.index, number % RECORDS * SLOT.size, begin + 1)


def whole(folder, segment):
    """Records of a segment: where each begins, up to the first that is not whole."""
    found = {}
    with open(names(folder, segment)[0], "rb") as file:
        data = file.read()
    at = 0
    while at + HEAD.size <= len(data):
        number, length, checksum = HEAD.unpack_from(data, at)
        payload = data[at + HEAD.size : at + HEAD.size + length]
        if len(payload) < length or zlib.crc32(payload) != checksum:
            break
        found[number] = at
        at += HEAD.size + length
    return found, at, len(data)


def recover(folder):
    """As a broker does after a crash: what is not whole at the end is cut off."""
    logs = sorted(name for name in os.listdir(folder) if name.endswith(".log"))
    if logs:
        newest = int(logs[-1].split(".")[0])
        _found, good, length = whole(folder, newest)
        if good < length:
            os.truncate(names(folder, newest)[0], good)


def write(folder):
    os.makedirs(folder, exist_ok=True)
    recover(folder)
    segment = None
    for line in sys.stdin:
        number = int(line)
        if segment is None or segment.number != number // RECORDS:
            segment = Segment(folder, number // RECORDS)
        segment.append(number)
        print(number, flush=True)


def check(folder, ranges):
    bad = 0
    segments = {}
    indexes = {}
    for first, last in (tuple(int(end) for end in one.split("-")) for one in ranges):
        for number in range(first, last + 1):
            segment = number // RECORDS
            if segment not in segments:
                segments[segment] = whole(folder, segment)[0]
                with open(names(folder, segment)[1], "rb") as file:
                    indexes[segment] = file.read()
            place = segments[segment].get(number)
            slot = SLOT.unpack_from(indexes[segment], number % RECORDS * SLOT.size)[0]
            if place is None:
                print(f"record {number} is not there", file=sys.stderr)
                bad += 1
            elif slot != place + 1:
                print(f"record {number} is at {place}, and the index says {slot - 1}", file=sys.stderr)
                bad += 1
    return bad


def main():
    verb, folder = sys.argv[1:3]
    if verb == "write":
        write(folder)
    elif verb == "check":
        sys.exit(1 if check(folder, sys.argv[3:]) else 0)
    else:
        sys.exit(__doc__)


main()
