"""`python -m tessera.network.ws_server`: the relay on a server, by its first name; `tessera serve` is the same thing.

Owns nothing: options, storage and what is said are `tessera serve`'s.
"""

import sys

from tessera_host.cli import run


def main() -> None:
    sys.exit(run(["serve", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
