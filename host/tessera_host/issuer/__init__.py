"""The organisation's side: its keys, its roster, who gets tokens, and the service that members reach."""
