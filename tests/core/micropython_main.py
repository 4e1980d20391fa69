# Runs one core test file on MicroPython, where there is no pytest: every function test_*, plain or async. On a computer
# run_micropython.py starts it with a file; on a board it is frozen in and run() is called with a module's name.

import gc
import sys
import time


def run(module_name):
    """Runs the tests of a module; prints each, then their counts as JSON. Returns the number that failed."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    try:
        module = __import__(module_name)
    except Exception as error:
        print("FAIL  import %s" % module_name)
        sys.print_exception(error)
        counts["failed"] = 1
        module = None
    for name in sorted(dir(module)):
        if name.startswith("test_") and callable(getattr(module, name)):
            counts[_run_test(name, getattr(module, name))] += 1
            gc.collect()
    print('counts: {"passed": %(passed)d, "failed": %(failed)d, "skipped": %(skipped)d}' % counts)
    return counts["failed"]


def _run_test(name, function):
    from check import Skipped

    start = time.ticks_ms()
    try:
        outcome = function()
        if hasattr(outcome, "send"):
            _run_coroutine(outcome)
    except Skipped as reason:
        print("skip  %s: %s" % (name, reason))
        return "skipped"
    except (Exception, SystemExit) as error:
        print("FAIL  %s" % name)
        sys.print_exception(error)
        return "failed"
    print("ok    %s (%d ms)" % (name, time.ticks_diff(time.ticks_ms(), start)))
    return "passed"


def _run_coroutine(coroutine):
    import asyncio

    try:
        asyncio.run(coroutine)
    finally:
        asyncio.new_event_loop()  # tasks that a test left behind must not run in the next one


def _folder(path):
    return path.rsplit("/", 1)[0] if "/" in path else "."


def main():
    here = _folder(__file__)
    # Last, so that a core that is frozen in comes first.
    sys.path.append(here + "/../../firmware")
    sys.path.append(_folder(sys.argv[1]))
    sys.path.append(here)
    sys.exit(1 if run(sys.argv[1].rsplit("/", 1)[-1][:-3]) else 0)


if __name__ == "__main__":
    main()
