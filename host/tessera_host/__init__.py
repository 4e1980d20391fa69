"""tessera_host: what an organisation and its members run on their computers, as a library and as the command `tessera`.

Dependencies point one way: this package uses the relay core (`tessera`), never the other way round.
"""

__version__ = "0.1.0"
