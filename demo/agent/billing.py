"""`billing`: charges a customer's card. The graph that nobody may run alone.

It writes a line per charge to the file that `BILLING_JOURNAL` names, if any: the
proof, outside of LangGraph, of whether a run really happened.
"""

import asyncio
import os
from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from people import CUSTOMERS


class State(TypedDict, total=False):
    """The order to charge, and the receipt afterwards."""

    customer_id: str
    amount: float
    receipt: dict


def note(line: str) -> None:
    """Appends a line to the journal."""
    journal = os.environ.get("BILLING_JOURNAL")
    if journal:
        with Path(journal).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


async def charge(state: State) -> State:
    """Pretends to charge the card on file."""
    customer = CUSTOMERS.get(state.get("customer_id", ""), CUSTOMERS["c-1001"])
    amount = float(state.get("amount", 0))
    await asyncio.to_thread(note, f"charged {customer['customer_id']} {amount:.2f}")
    return {
        "receipt": {
            "customer_id": customer["customer_id"],
            "amount": amount,
            "card": customer["card"]["number"],
            "sent_to": customer["email"],
        }
    }


graph = (
    StateGraph(State)
    .add_node("charge", charge)
    .add_edge(START, "charge")
    .add_edge("charge", END)
    .compile(name="billing")
)
