#!/usr/bin/env python3
"""Who writes to ZooKeeper, and who judges its files.

zookeeper.py serves           ends well once it answers and lets somebody read
zookeeper.py make             accounts with the same in each
zookeeper.py write            takes a number a line, writes it, says it back
zookeeper.py noise            moves something from account to account, each time in one transaction, and has the purge
                              of ZooKeeper remove what is older than its three newest snapshots, until it is killed
zookeeper.py check A-B…       all numbers of these ranges are there, none is left out between any that are there, and
                              the accounts have what they had together; logs and snapshots have their checksums, and
                              ZooKeeper's own tools read the newest of them. A line on stderr for whatever is not so

In one transaction a number is written, which names the one before it, and noted as the newest: what is of different
moments, or lacks a log in the middle, shows it.
"""
import glob
import logging
import random
import socket
import struct
import subprocess
import sys
import time
import zlib

from kazoo.client import KazooClient

PLACE = ("127.0.0.1", 2181)
ACCOUNTS = 500
# Of the bytes of one, nearly all are there for their size: a copy takes its time over them.
FILLING = b" " + b"backupd " * 1000
EACH = 1000
# So many requests are under way at once.
AT_ONCE = 20
# Its purge leaves so many snapshots, and their logs.
KEPT = 3
PURGE_SECONDS = 5
LOGS = "/data/log/version-2/log.*"
SNAPSHOTS = "/data/snapshots/version-2/snapshot.*"
WHOLE, CUT_OFF, BAD = "whole", "cut off", "bad"
SERVER = "org.apache.zookeeper.server."


def connect():
    """To a server that is there and well: waiting for it is somebody else's."""
    with socket.create_connection(PLACE, timeout=10) as server:
        server.sendall(b"ruok")
        if server.recv(16) != b"imok":
            sys.exit("it is not well")
    client = KazooClient(hosts="%s:%d" % PLACE, timeout=20)
    client.start(timeout=10)
    return client


def account(number):
    return f"/accounts/{number:05}"


def number_path(number):
    return f"/numbers/{number}"


def value(found):
    return int(found.split(b" ")[0])


def gather(asked):
    """What was asked for at once; an answer may be an error."""
    return [one.get(timeout=60) for one in asked]


def pieces(things, size):
    return (things[at : at + size] for at in range(0, len(things), size))


def make(client):
    for path in ("/accounts", "/numbers"):
        client.create(path)
    client.create("/newest", b"0")
    for some in pieces(range(ACCOUNTS), 5):
        transaction = client.transaction()
        for number in some:
            transaction.create(account(number), b"%d" % EACH + FILLING)
        if any(isinstance(answer, Exception) for answer in transaction.commit()):
            sys.exit("the accounts cannot be made")


def write(client):
    newest, about = client.get("/newest")
    newest, version = value(newest), about.version
    for line in sys.stdin:
        number = int(line)
        transaction = client.transaction()
        transaction.create(number_path(number), b"%d" % newest)
        # Of a client that died, something may still be under way: then the version is another, and this fails.
        transaction.set_data("/newest", b"%d" % number, version=version)
        if any(isinstance(answer, Exception) for answer in transaction.commit()):
            sys.exit(f"the number {number} is refused")
        newest, version = number, version + 1
        print(number, flush=True)


def purge():
    program = ["/entrypoint", "java", SERVER + "PurgeTxnLog", "/data/log", "/data/snapshots", "-n", str(KEPT)]
    silent = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.DEVNULL)
    return subprocess.Popen(program, **silent)


def noise(client):
    purging, due = None, time.monotonic() + PURGE_SECONDS
    while True:
        if time.monotonic() >= due and (purging is None or purging.poll() is not None):
            purging, due = purge(), time.monotonic() + PURGE_SECONDS
        some = random.sample(range(ACCOUNTS), 2 * AT_ONCE)
        found = gather([client.get_async(account(number)) for number in some])
        moves = []
        for place in range(0, len(some), 2):
            transaction = client.transaction()
            for more, number, (data, about) in zip((1, -1), some[place:], found[place:]):
                # Another such program may still be at work: then the version is another, and nothing is moved.
                changed = b"%d" % (value(data) + more) + FILLING
                transaction.set_data(account(number), changed, version=about.version)
            moves.append(transaction.commit_async())
        gather(moves)
        time.sleep(0.02)


def numbers_are_whole(client, ranges):
    there = {int(name) for name in client.get_children("/numbers")}
    missing = [number for first, last in ranges for number in range(first, last + 1) if number not in there]
    if missing:
        print(f"{len(missing)} numbers are not there, the first of them {missing[0]}", file=sys.stderr)
        return False
    newest = value(client.get("/newest")[0])
    if newest != max(there, default=0):
        print(f"the newest number is {max(there, default=0)}, and is noted as {newest}", file=sys.stderr)
        return False
    ordered = sorted(there)
    for some in pieces(list(zip([0] + ordered, ordered)), 500):
        found = gather([client.get_async(number_path(number)) for _before, number in some])
        for (before, number), (data, _about) in zip(some, found):
            if value(data) != before:
                print(f"before {number} comes {before}, and it says {value(data)}", file=sys.stderr)
                return False
    return True


def accounts_are_whole(client):
    together = 0
    for some in pieces(range(ACCOUNTS), 100):
        together += sum(value(data) for data, _about in gather([client.get_async(account(one)) for one in some]))
    if together != ACCOUNTS * EACH:
        print(f"the accounts have {together} together, and had {ACCOUNTS * EACH}", file=sys.stderr)
    return together == ACCOUNTS * EACH


def state_of_log(path):
    """BAD, or CUT_OFF: a server that died had not acknowledged its last change, and passes over it.

    After a head of 16 bytes each change is a checksum, its length, itself and a B; zeros follow the last one.
    """
    with open(path, "rb") as file:
        log = file.read()
    at = 16
    while at + 12 <= len(log):
        checksum, length = struct.unpack_from(">QI", log, at)
        begin, end = at + 12, at + 12 + length
        if not length and not checksum:
            break
        if log[end : end + 1] != b"B" or zlib.adler32(log[begin:end]) != checksum:
            return BAD if any(log[end:]) else CUT_OFF
        at = end + 1
    return BAD if any(log[at:]) else WHOLE


def state_of_snapshot(path):
    """BAD, or CUT_OFF: one that was never finished lacks its end, and servers pass over it."""
    with open(path, "rb") as file:
        snapshot = file.read()
    # A checksum of all before it, and a path.
    rest, end = snapshot[:-13], snapshot[-13:]
    if end[8:] != b"\0\0\0\1/":
        return CUT_OFF
    return WHOLE if zlib.adler32(rest) == int.from_bytes(end[:8], "big") else BAD


def tool_reads(name, path):
    program = ["/entrypoint", "java", SERVER + name, path]
    ran = subprocess.run(program, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    # It ends well also after it has found that.
    return ran.returncode == 0 and b"CRC ERROR" not in ran.stdout


def files_are_whole(pattern, state_of, tool):
    """Each by its checksums, which the tool for snapshots leaves out; the newest by the tools, which take a while."""
    paths = sorted(glob.glob(pattern), key=lambda path: int(path.rsplit(".", 1)[1], 16))
    states = [(path, state_of(path)) for path in paths]
    whole = [path for path, state in states if state == WHOLE]
    bad = [path for path, state in states if state == BAD]
    bad += [path for path in whole[-KEPT:] if not tool_reads(tool, path)]
    for path in bad:
        print(f"{path} is not whole", file=sys.stderr)
    if not whole:
        print(f"nothing of {pattern} is whole: {states}", file=sys.stderr)
    return bool(whole) and not bad


def main():
    logging.disable(logging.CRITICAL)
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb not in ("serves", "make", "write", "noise", "check"):
        sys.exit(__doc__)
    client = connect()
    if verb == "serves":
        client.get_children("/")
    elif verb == "make":
        make(client)
    elif verb == "write":
        write(client)
    elif verb == "noise":
        noise(client)
    else:
        ranges = [tuple(int(end) for end in one.split("-")) for one in sys.argv[2:]]
        good = [
            numbers_are_whole(client, ranges),
            accounts_are_whole(client),
            files_are_whole(LOGS, state_of_log, "persistence.TxnLogToolkit"),
            files_are_whole(SNAPSHOTS, state_of_snapshot, "SnapshotFormatter"),
        ]
        sys.exit(0 if all(good) else 1)
    client.stop()


main()
