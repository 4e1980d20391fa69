"""From a board out of its box to a relay in service, over a USB cable (`tessera flash`)."""
