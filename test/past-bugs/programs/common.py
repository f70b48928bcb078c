"""Two mounts of one channel, of two members: A and B. A program prints what went wrong, and nothing else."""
import ctypes, errno, fcntl, mmap, os, random, re, shutil, stat, subprocess, sys, threading, time

A, B = sys.argv[1:3]


def until(condition, seconds=10):
    """Whether it comes true in time; what it asks for may not be there yet."""
    end = time.time() + seconds
    while time.time() < end:
        try:
            if condition():
                return True
        except FileNotFoundError:
            pass
        time.sleep(0.003)
    return False


def check(good, *what):
    if not good:
        print(*what, flush=True)


def gone(*names):
    """Waits until names that were removed are missing in both mounts."""
    for name in names:
        until(lambda: not os.path.lexists(A + '/' + name) and not os.path.lexists(B + '/' + name))
