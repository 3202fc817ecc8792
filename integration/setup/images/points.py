#!/usr/bin/env python3
"""Points in whisper files, as carbon writes them.

points.py make FOLDER         new files: a point a second for two days, a point a minute for a month
points.py write FOLDER        takes a number a line, writes it as the point of its own second, says it back
points.py check FOLDER A-B…   all numbers of these ranges are there, and all files are of one moment; a line on
                              stderr for whatever is not so
"""
import os
import sys
import time

import whisper

FILES = 20
LATER = 20000
STEPS = [(1, 172800), (60, 43200)]


def path(folder, number):
    return os.path.join(folder, f"metric-{number:02}.wsp")


def first_second(folder):
    with open(os.path.join(folder, "first-second"), encoding="ascii") as file:
        return int(file.read())


def make(folder):
    os.makedirs(folder, exist_ok=True)
    for number in range(FILES):
        whisper.create(path(folder, number), STEPS)
    with open(os.path.join(folder, "first-second"), "w", encoding="ascii") as file:
        file.write(str(int(time.time()) - 86400))


def write(folder):
    begin = first_second(folder)
    for line in sys.stdin:
        number = int(line)
        # The same point everywhere: files that are of different moments show it.
        for file in range(FILES):
            whisper.update(path(folder, file), number, begin + number)
        print(number, flush=True)


def newest(name, begin, last):
    """The newest number that is in a file; it is not much later than this one."""
    (start, _end, step), values = whisper.fetch(name, begin, begin + last + LATER)
    numbers = (start + place * step - begin for place, value in enumerate(values) if value is not None)
    return max(numbers, default=0)


def of_one_moment(folder, begin, last):
    """A number goes into one file after the other, so the last ones lack one number at most."""
    found = [newest(path(folder, file), begin, last) for file in range(FILES)]
    if found == sorted(found, reverse=True) and found[0] - found[-1] <= 1:
        return True
    print(f"the newest points are of different moments: {found}", file=sys.stderr)
    return False


def check(folder, ranges):
    begin = first_second(folder)
    ranges = [tuple(int(end) for end in one.split("-")) for one in ranges]
    bad = 0 if of_one_moment(folder, begin, max(last for _first, last in ranges)) else 1
    for file in range(FILES):
        name = path(folder, file)
        info = whisper.info(name)
        wanted = 16 + 12 * len(info["archives"]) + 12 * sum(one["points"] for one in info["archives"])
        if os.path.getsize(name) != wanted:
            print(f"{name} has {os.path.getsize(name)} bytes, and its header says {wanted}", file=sys.stderr)
            bad += 1
        for first, last in ranges:
            # What is fetched begins after the first second that is asked for.
            (start, _end, step), values = whisper.fetch(name, begin + first - 1, begin + last)
            points = {start + place * step - begin: value for place, value in enumerate(values)}
            for number in range(first, last + 1):
                if points.get(number) != number:
                    print(f"{name}: the point {number} is {points.get(number)}", file=sys.stderr)
                    bad += 1
    return bad


def main():
    verb, folder = sys.argv[1:3]
    if verb == "make":
        make(folder)
    elif verb == "write":
        write(folder)
    elif verb == "check":
        sys.exit(1 if check(folder, sys.argv[3:]) else 0)
    else:
        sys.exit(__doc__)


main()
