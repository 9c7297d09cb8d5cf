"""As its documentation advises for two cores that are shared with the database; connections are kept alive."""

import ssl

workers = 2
worker_class = "gthread"
threads = 16
keepalive = 75
worker_connections = 1000
cert_reqs = ssl.CERT_REQUIRED
accesslog = None
loglevel = "warning"
