"""`tessera.deploy`: what sets up several relays at once, under the core's name. Boards have none of it."""
