"""`support_agent`: looks a customer up and says, far too freely, what it found.

`look up` calls a tool, `fetch` answers it with the customer's record as JSON inside
a string, `answer` writes it out as prose. When the question holds the word
"confirm", the graph stops at an interrupt that shows the record to a person first.
"""

import json
from typing import Annotated, TypedDict

from langchain_core.messages import AnyMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

from model import ScriptedModel
from people import find


class State(TypedDict, total=False):
    """What the graph keeps, and so what its values stream shows."""

    messages: Annotated[list[AnyMessage], add_messages]
    customer: dict
    audit: list[str]


def question(state: State) -> str:
    """The text of the latest message, whatever shape its content has."""
    messages = state.get("messages") or []
    return str(messages[-1].content) if messages else ""


async def look_up(state: State) -> State:
    """Asks for the customer's record by e-mail, in fragments of tool arguments."""
    customer = find(question(state))
    model = ScriptedModel(
        text=f"Looking up {customer['email']}. ",
        tool="get_customer",
        arguments={"email": customer["email"], "ssn": customer["ssn"]},
    )
    return {"messages": [await model.ainvoke(state["messages"])], "customer": customer}


async def fetch(state: State) -> State:
    """The tool's answer: JSON in a string, with its accents escaped a second time."""
    customer = state["customer"]
    answer = ToolMessage(
        content=json.dumps(customer),
        name="get_customer",
        tool_call_id="call_1",
        artifact={"raw": customer},
    )
    asked = str(state["messages"][0].content)
    if "confirm" in asked:
        interrupt({"question": f"May I tell everything about {customer['email']}?", "record": customer})
    return {"messages": [answer], "audit": [f"looked up {customer['customer_id']} ssn={customer['ssn']}"]}


async def answer(state: State) -> State:
    """Prose with everything in it that should never leave."""
    customer = state["customer"]
    model = ScriptedModel(
        text=(
            f"Customer {customer['name']} can be reached at {customer['email']} or {customer['phone']}. "
            f"Her SSN is {customer['ssn']} and the card on file is {customer['card']['number']}. Done ✓"
        ),
        delay=0.005,
    )
    return {"messages": [await model.ainvoke(state["messages"])]}


graph = (
    StateGraph(State)
    .add_node("look_up", look_up)
    .add_node("fetch", fetch)
    .add_node("answer", answer)
    .add_edge(START, "look_up")
    .add_edge("look_up", "fetch")
    .add_edge("fetch", "answer")
    .add_edge("answer", END)
    .compile(name="support_agent")
)
