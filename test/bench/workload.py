#!/usr/bin/env python3
"""The benchmark's work: the same calls in each directory, round by round, and a table of the medians.

  workload.py --rounds N [--quick] NAME=DIR…

The first two directories may be mounts of one channel on two members (--pair): then it also measures how long a new file
takes from the first to the second. Each directory gets a folder of its own, which is removed at the end.
"""
import argparse, os, random, shutil, statistics, sys, time

KiB, MiB = 1024, 1024 * 1024


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_all(fd, data):
    view = memoryview(data)
    while len(view) > 0:
        view = view[os.write(fd, view):]


class Workload:
    """One round in one directory. Each step answers a figure; what a step leaves, later steps use."""

    def __init__(self, folder, sizes, seed):
        self.folder, self.sizes = folder, sizes
        self.random = random.Random(seed)
        self.block = self.random.randbytes(MiB)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sequential_write(self):
        count = self.sizes["sequential"]

        def work():
            fd = os.open(self.path("big"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            for _ in range(count):
                write_all(fd, self.block)
            os.fsync(fd)
            os.close(fd)

        return count / timed(work)

    def sequential_read(self):
        fd = os.open(self.path("big"), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        total = 0

        def work():
            nonlocal total
            while data := os.read(fd, MiB):
                total += len(data)

        seconds = timed(work)
        os.close(fd)
        if total != self.sizes["sequential"] * MiB:
            sys.exit(f"bench: {self.path('big')} has {total} bytes")
        return total / MiB / seconds

    def small_creates(self):
        os.mkdir(self.path("small"))
        return self.creates("small", self.sizes["creates"], sync=False)

    def synced_creates(self):
        os.mkdir(self.path("synced"))
        return self.creates("synced", self.sizes["synced"], sync=True)

    def creates(self, folder, count, sync):
        def work():
            for i in range(count):
                fd = os.open(self.path(f"{folder}/{i}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                write_all(fd, self.block[:KiB])
                if sync:
                    os.fsync(fd)
                os.close(fd)

        return count / timed(work)

    def random_writes(self):
        count, blocks = self.sizes["random"], self.sizes["sequential"] * MiB // 4096
        fd = os.open(self.path("big"), os.O_WRONLY)

        def work():
            for _ in range(count):
                os.pwrite(fd, self.block[:4096], self.random.randrange(blocks) * 4096)
            os.fsync(fd)

        seconds = timed(work)
        os.close(fd)
        return count / seconds

    def appends(self):
        count = self.sizes["appends"]
        fd = os.open(self.path("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

        def work():
            for _ in range(count):
                write_all(fd, self.block[:128])
            os.fsync(fd)

        seconds = timed(work)
        os.close(fd)
        return count / seconds

    def stat_walk(self):
        seen = 0

        def work():
            nonlocal seen
            for parent, folders, files in os.walk(self.folder):
                for name in folders + files:
                    os.lstat(os.path.join(parent, name))
                    seen += 1

        seconds = timed(work)
        return seen / seconds


STEPS = [
    ("sequential write, fsync", "MiB/s", "sequential_write"),
    ("sequential read", "MiB/s", "sequential_read"),
    ("small files, close", "files/s", "small_creates"),
    ("small files, fsync", "files/s", "synced_creates"),
    ("random 4 KiB writes", "writes/s", "random_writes"),
    ("appends of 128 B", "appends/s", "appends"),
    ("stat walk", "stats/s", "stat_walk"),
]


def propagation(source, target, count, tag):
    """Milliseconds until a new file of 4 KiB, closed in one mount, is whole in the other: the median."""
    times, data = [], os.urandom(4096)
    for i in range(count):
        name = f"new-{tag}-{i}"
        start = time.perf_counter()
        fd = os.open(os.path.join(source, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        write_all(fd, data)
        os.close(fd)
        while not arrived(os.path.join(target, name), data):
            if time.perf_counter() - start > 30:
                sys.exit(f"bench: {name} did not reach {target} within 30 s")
            time.sleep(0.0002)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def arrived(path, data):
    try:
        with open(path, "rb") as file:
            return file.read() == data
    except FileNotFoundError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("places", nargs="+")
    given = parser.parse_args()
    sizes = {"sequential": 256, "creates": 1000, "synced": 200, "random": 2000, "appends": 2000, "new": 50}
    if given.quick:
        sizes = {"sequential": 8, "creates": 50, "synced": 10, "random": 100, "appends": 100, "new": 5}
    places = dict(place.split("=", 1) for place in given.places)
    names = list(places)
    figures, spread = {}, []
    for number in range(given.rounds):
        folders = {name: os.path.join(places[name], f"rkfs-bench-{os.getpid()}-{number}-{name}") for name in names}
        try:
            loads = {name: Workload(folders[name], sizes, number) for name in names}
            for folder in folders.values():
                os.mkdir(folder)
            for title, _, step in STEPS:
                for name in names:
                    print(f"round {number + 1}: {title}, {name}", file=sys.stderr)
                    figures.setdefault((title, name), []).append(getattr(loads[name], step)())
            if given.pair:
                print(f"round {number + 1}: from {names[0]} to {names[1]}", file=sys.stderr)
                target = os.path.join(places[names[1]], os.path.basename(folders[names[0]]))
                spread.append(propagation(folders[names[0]], target, sizes["new"], number))
        finally:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)

    def cell(values):
        value = statistics.median(values)
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"

    print(f"{'medians of ' + str(given.rounds) + ' rounds':26}{'':>10}" + "".join(f"{name:>12}" for name in names))
    for title, unit, _ in STEPS:
        print(f"{title:26}{unit:>10}" + "".join(f"{cell(figures[title, name]):>12}" for name in names))
    if spread:
        print(f"{'new 4 KiB file, ' + names[0] + ' to ' + names[1]:26}{'ms':>10}{cell(spread):>12}")


main()
