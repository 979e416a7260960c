"""A graph that says what LangGraph made of a request's headers: the names and texts of its configuration."""

from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    """What the run ends with."""

    seen: dict


def echo(state: State, config: RunnableConfig) -> State:
    """Texts alone: the rest are LangGraph's own objects."""
    given = config.get("configurable", {})
    return {"seen": {name: value for name, value in given.items() if isinstance(value, str)}}


builder = StateGraph(State)
builder.add_node("echo", echo)
builder.add_edge(START, "echo")
builder.add_edge("echo", END)
graph = builder.compile()
