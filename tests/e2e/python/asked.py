"""LangGraph's own authorisation as a witness: writes down every request that reaches the server, and everything that
the server asks before it does something."""

import json
import os
from pathlib import Path

from langgraph_sdk import Auth

auth = Auth()


def note(line: dict) -> None:
    with Path(os.environ["PROBE_JOURNAL"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@auth.authenticate
async def authenticate(method: str, path: str, headers: dict[bytes, bytes]) -> str:
    """Lets everyone in."""
    request = headers.get(b"x-request-id", b"").decode("latin-1")
    note({"kind": "request", "method": method, "path": path, "id": request})
    return "witnessed"


@auth.on
async def allow(ctx: Auth.types.AuthContext, value: dict) -> None:
    """Allows everything, and says what it was."""
    ids = {name: str(value[name]) for name in ("thread_id", "assistant_id", "cron_id") if value.get(name)}
    note({"kind": "asked", "name": f"{ctx.resource}.{ctx.action}", **ids})
