"""A chat model that needs no key: it says what it is told, a few letters at a time.

Real models stream tokens, and a token boundary falls anywhere: in the middle of an
e-mail address, of a card number, of the JSON of a tool's arguments. Five letters a
chunk make sure that no single chunk holds a whole value.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult


class ScriptedModel(BaseChatModel):
    """Answers `text`, then calls `tool` with `arguments` when a tool is named."""

    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = {}
    size: int = 5
    delay: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        for start in range(0, len(self.text), self.size):
            yield self._chunk(AIMessageChunk(content=self.text[start : start + self.size]))
        if self.tool:
            arguments = json.dumps(self.arguments)
            opening = tool_call_chunk(name=self.tool, args="", id="call_1", index=0)
            yield self._chunk(AIMessageChunk(content="", tool_call_chunks=[opening]))
            for start in range(0, len(arguments), self.size):
                part = tool_call_chunk(args=arguments[start : start + self.size], index=0)
                yield self._chunk(AIMessageChunk(content="", tool_call_chunks=[part]))

    @staticmethod
    def _chunk(message: AIMessageChunk) -> ChatGenerationChunk:
        return ChatGenerationChunk(message=message)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        calls = []
        if self.tool:
            calls = [{"name": self.tool, "args": self.arguments, "id": "call_1", "type": "tool_call"}]
        message = AIMessage(content=self.text, tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            if self.delay:
                await asyncio.sleep(self.delay)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
