"""Sets the tree up, and makes what runs on boards: MicroPython, images, bundles."""
