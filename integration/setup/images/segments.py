#!/usr/bin/env python3
"""A log in segments with mapped indexes: the pattern in which Kafka and ZooKeeper keep their files.

Records are appended, each with a checksum; where a record begins is stored into an index of full length that is
mapped, so that its file's times do not tell of it. Neither is ever synced, as brokers do it.

segments.py write FOLDER        takes a number a line, appends it as a record, says it back
segments.py check FOLDER A-B…   all records of these ranges are there, whole, and found by the index; and log and index
                                are of one moment

What is not whole at the end of the newest segment was never acknowledged; nor was the newest record, if the index does
not know it yet.
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
        self.store(number, begin)

    def store(self, number, place):
        # Zero stands for no record, so the place is stored with one added.
        SLOT.pack_into(self.index, number % RECORDS * SLOT.size, place + 1)


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


def newest(folder):
    """The segment that is written to, if there is one."""
    return max((int(name.split(".")[0]) for name in os.listdir(folder) if name.endswith(".log")), default=None)


def recover(folder):
    """As a broker does after a crash: what is not whole at the end is cut off, and the index knows what is left."""
    number = newest(folder)
    if number is None:
        return
    found, good, length = whole(folder, number)
    if good < length:
        os.truncate(names(folder, number)[0], good)
    segment = Segment(folder, number)
    for record, place in found.items():
        segment.store(record, place)


def of_one_moment(folder):
    """A record is appended, and then its place is stored: neither of them runs ahead of the other."""
    number = newest(folder)
    if number is None:
        return True
    found = whole(folder, number)[0]
    with open(names(folder, number)[1], "rb") as file:
        index = file.read()
    slots = (SLOT.unpack_from(index, at)[0] for at in range(0, len(index), SLOT.size))
    known = {place - 1 for place in slots if place}
    behind = sorted(record for record, place in found.items() if place not in known)
    ahead = sorted(known - set(found.values()))
    if not ahead and len(behind) <= 1 and behind in ([], [max(found, default=0)]):
        return True
    print(f"the index lacks the records {behind}, and has places of no record: {ahead}", file=sys.stderr)
    return False


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
    bad = 0 if of_one_moment(folder) else 1
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
