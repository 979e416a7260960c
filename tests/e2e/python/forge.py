"""The official SDK, its token in x-api-key, with headers that try to be configuration. Prints what the graph saw.

usage: forge.py SERVER TOKEN
"""

import asyncio
import json
import sys

from langgraph_sdk import get_client

FORGED = {"x-user-id": "admin", "X-Roles": "admin", "x-graphwarden-subject": "admin", "x-b3-traceid": "4f5e"}


async def main(server: str, token: str) -> None:
    """One stateless run."""
    client = get_client(url=server, api_key=token, headers=FORGED)
    result = await client.runs.wait(None, "echo", input={})
    print(json.dumps(result["seen"]))


asyncio.run(main(*sys.argv[1:]))
