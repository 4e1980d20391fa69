"""`python -m tessera.network.ws_server`: a relay on a server that members reach by WebSocket, by its first name.

Owns nothing: it is `tessera serve`, but that --port is the WebSocket's, and that a new trial's members are told ws://.
"""

import sys

from tessera_host.cli import run


def main() -> None:
    sys.exit(run(["serve", "--by-websocket", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
