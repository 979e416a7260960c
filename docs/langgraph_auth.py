"""LangGraph's side of `upstream.identity: assertion`: it believes the gate's signature, and nothing else.

Name it in langgraph.json, `"auth": {"path": "./langgraph_auth.py:auth"}`. For EdDSA set
GRAPHWARDEN_ASSERTION_PUBLIC_KEY to the public key in PEM, for HS256 GRAPHWARDEN_ASSERTION_SECRET to the
secret that the gate has too. It needs PyJWT and cryptography.
"""

import os

import jwt
from langgraph_sdk import Auth

# One algorithm, named here and not by the assertion (RFC 8725 section 3.1).
if "GRAPHWARDEN_ASSERTION_PUBLIC_KEY" in os.environ:
    ALGORITHM, KEY = "EdDSA", os.environ["GRAPHWARDEN_ASSERTION_PUBLIC_KEY"]
else:
    ALGORITHM, KEY = "HS256", os.environ["GRAPHWARDEN_ASSERTION_SECRET"]

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[bytes, bytes]) -> Auth.types.MinimalUserDict:
    assertion = headers.get(b"x-graphwarden-assertion")
    if assertion is None:
        raise Auth.exceptions.HTTPException(status_code=401, detail="not through the gate")
    try:
        claims = jwt.decode(
            assertion,
            KEY,
            algorithms=[ALGORITHM],
            audience="langgraph",
            issuer="graphwarden",
            options={"require": ["exp", "iat", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise Auth.exceptions.HTTPException(status_code=401, detail="not the gate's assertion") from None
    return {
        # One person is one identity however many issuers there are.
        "identity": f"{claims['idp']}#{claims['sub']}",
        "display_name": claims.get("name", claims["sub"]),
        "is_authenticated": True,
        "permissions": claims["roles"],
    }


@auth.on
async def own(ctx: Auth.types.AuthContext, value: dict) -> dict:
    """Everybody sees what is theirs. What they may do at all, the gate has decided."""
    owner = {"owner": ctx.user.identity}
    if isinstance(value.get("metadata"), dict) or "metadata" not in value:
        value.setdefault("metadata", {}).update(owner)
    return owner
