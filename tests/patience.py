"""How long a test waits for what must happen: an overall limit, far above what it takes beside any other work, so that
a test which waits in vain ends. It measures nothing: a test whose subject is time uses a clock that it turns itself."""

PATIENCE_SECONDS = 1200
