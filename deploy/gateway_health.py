"""Does the gateway of this container answer?"""

import os
from urllib.request import urlopen

port = os.environ.get("INFERQ_PORT") or "8000"
urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5)
