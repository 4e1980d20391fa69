"""`tessera.network`: what a server has beside the relay's core, under the core's name. Boards have none of it."""
