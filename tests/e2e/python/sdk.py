"""The official SDK through the gate: create a thread, stream, wait, search. Prints what it got.

usage: sdk.py GATE TOKEN
"""

import asyncio
import json
import sys

import httpx
from langgraph_sdk import get_client


async def main(gate: str, token: str) -> None:
    """Every step fails the script when it fails."""
    client = get_client(url=gate, api_key=None, headers={"Authorization": f"Bearer {token}"})
    thread = await client.threads.create(metadata={"topic": "refund"})
    question = {"messages": [{"role": "user", "content": "Who is customer c-1001?"}]}
    modes = ["values", "updates", "messages-tuple"]
    events = []
    async for part in client.runs.stream(
        thread["thread_id"], "support_agent", input=question, stream_mode=modes
    ):
        events.append({"event": part.event, "data": part.data})
    waited = await client.runs.wait(thread["thread_id"], "support_agent", input=question)
    found = await client.threads.search(metadata={"topic": "refund"})
    state = await client.threads.get_state(thread["thread_id"])
    refused = None
    try:
        await client.runs.wait(thread["thread_id"], "billing", input={"customer_id": "c-1001", "amount": 1})
    except httpx.HTTPStatusError as error:
        refused = error.response.status_code
    except Exception as error:  # The SDK has exception types of its own for some statuses.
        refused = getattr(error, "status_code", None) or type(error).__name__
    print(
        json.dumps(
            {
                "thread": thread["thread_id"],
                "events": events,
                "waited": waited,
                "found": [each["thread_id"] for each in found],
                "state": state,
                "refused": refused,
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
