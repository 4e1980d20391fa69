# The figures in which a board and a server differ, in one place. A board's are here, a server passes its own
# (host/tessera_host/relay/machine.py). All other code of a relay is the same on both.


class Machine:
    """The figures of a board."""

    # Connections (server)
    sessions = 4  # with a finished handshake at the same time; the operator's session comes on top
    surplus = 0  # further sessions, which are told BUSY at their first request
    strangers = 4  # connections before their handshake; the oldest gives way to a new one
    patience_ms = 500  # for which a handshake waits for deliveries
    timing = None  # a server.Timing; None for its default
    burst = 1  # frames of a cell that leave together at a tick

    # Flash (recordlog)
    boot_erases = 8  # sectors that are erased at most at a start,
    window_erases = 8  # and in the window after a seal
    erases_at_once = False  # whether erasing a sector takes no longer than looking whether it is blank
    fills = True  # whether a new relay fills its ring with random pages, so that unused pages look used

    # Memory
    buckets = 256  # that the index of records can tell apart
    cell_records = None  # records and candidates for cover of the largest cell that fits into the heap; None: any
    tables = 2  # different noise tables at the same time; None: any number

    # What only a server has; None on a board
    cells = None  # cells(pages, first_rounds) makes the index of records in place of RecordLog's array
    batches = None  # keeps sealed batches: get(bucket, round, make), clear()
    # Writes that become durable together: await next().wait() before an answer leaves (OSError if they failed);
    # next().over says that there is nothing to wait for.
    commits = None
