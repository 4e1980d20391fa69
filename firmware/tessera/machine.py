# What a board and a server bear differently, in one place: a board's figures are here, a server passes its own
# (host/tessera_host/relay/machine.py). Everything else of a relay is one and the same.


class Machine:
    """A board.

    sessions: with a handshake at once, and the operator's beside them. surplus: beside them, to be told BUSY at their
    first request. strangers: connections before their handshake, of which the oldest makes room. patience_ms: how long
    a handshake waits for deliveries. timing: a server.Timing, None for a board's. burst: frames of a cell that leave
    together at a tick.
    boot_erases, window_erases: sectors erased at most at a start and after a seal; erases_at_once: whether that takes
    no longer than to look whether a sector is blank. fills: whether pages that were never used look used. buckets: that
    the index of records can tell apart. cell_records: the most of one cell, posts and candidates for cover, that the
    heap has room for; None without such a limit. tables: different noise tables at once, as cell_records.
    cells(pages, first_rounds): another index than the array, see RecordLog. batches: keeps sealed batches, get(bucket,
    round, make) and clear(). commits: where writes wait for others before they are durable; next().wait() is to be
    awaited before an answer leaves, OSError if they failed; over says whether there is nothing to wait for.
    """

    sessions = 4
    surplus = 0
    strangers = 4
    patience_ms = 500
    timing = None
    burst = 1
    boot_erases = 8
    window_erases = 8
    erases_at_once = False
    fills = True
    buckets = 256
    cell_records = None
    tables = 2
    cells = batches = commits = None
