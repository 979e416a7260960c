"""LangGraph's own authentication as a witness: writes down every header that reaches the server."""

import json
import os
from pathlib import Path

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(method: str, path: str, headers: dict[bytes, bytes]) -> str:
    """Lets everyone in, as someone without a name."""
    seen = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    line = json.dumps({"method": method, "path": path, "headers": seen})
    with Path(os.environ["PROBE_JOURNAL"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return "witnessed"
