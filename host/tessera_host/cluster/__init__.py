"""`tessera cluster`: an office with several relays on one computer, under one supervisor."""
