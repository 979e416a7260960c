"""An approval service in the desk's place, small enough to read: the contract of approvals.openapi.json with nothing but
Python's standard library, and people who decide by a command. `graphwarden conform` tells whether it is still safe after you
changed it.

    GRAPHWARDEN_TOKEN=... python approval_service.py serve 8500 approvals.db people.json
    python approval_service.py decide approvals.db people.json ID approve mia

people.json: {"mia": {"issuer": "https://idp.example", "name": "Mia", "email": "mia@example.com", "roles": ["manager"]}}

Where your process lives elsewhere (a ticket, a chat, a change request in ServiceNow), let `opened` make it there, and let
what ends it there run `decide`, with the person whom *that* system has authenticated.
"""

import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCHEMA = """
CREATE TABLE IF NOT EXISTS approvals (id TEXT PRIMARY KEY, fingerprint TEXT, question TEXT, state TEXT, ends REAL,
    valid_until REAL, claimed_by TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS one_open ON approvals (fingerprint)
    WHERE state = 'pending' OR (state = 'approved' AND claimed_by IS NULL);
CREATE TABLE IF NOT EXISTS exchanges (exchange TEXT PRIMARY KEY, approval TEXT, fingerprint TEXT, withdrawn INTEGER);
CREATE TABLE IF NOT EXISTS decisions (approval TEXT, issuer TEXT, subject TEXT, name TEXT, email TEXT, decision TEXT, at TEXT,
    PRIMARY KEY (approval, issuer, subject));
"""


class Refused(Exception):
    """The question is not answered; 4xx."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status


def connect(path):
    database = sqlite3.connect(path, timeout=30, isolation_level=None)
    database.row_factory = sqlite3.Row
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + SCHEMA)
    return database


class Transaction:
    """One writer at a time, so that whatever is decided is decided once."""

    def __init__(self, database):
        self.database = database

    def __enter__(self):
        self.database.execute("BEGIN IMMEDIATE")
        return self.database

    def __exit__(self, kind, *_):
        self.database.execute("COMMIT" if kind is None else "ROLLBACK")


def check(question):
    """Refuses what is not whole, and every demand that this service does not know."""
    asks, requester = question.get("asks"), question.get("requester")
    if not isinstance(asks, dict) or not isinstance(requester, dict):
        raise Refused(400, "`asks` and `requester` have to be objects")
    known = {"approvers", "quorum", "valid_seconds", "expires_seconds", "preview"}
    if not set(asks) <= known:
        raise Refused(422, f"unknown demands: {sorted(set(asks) - known)}")
    if asks.get("preview", "partial") not in ("partial", "full"):
        raise Refused(422, "unknown preview")
    if asks.get("preview") == "full" and question.get("preview", {}).get("truncated") is not False:
        raise Refused(422, "approvers have to see all of the request")
    whole = (
        all(isinstance(question.get(name), str) and question[name] for name in ("exchange", "rule", "policy", "digest"))
        and len(question["digest"]) == 64
        and all(isinstance(requester.get(name), str) and requester[name] for name in ("issuer", "subject"))
        and isinstance(question.get("operations"), list)
        and question["operations"]
        and isinstance(asks.get("approvers"), list)
        and asks["approvers"]
        and all(isinstance(asks.get(name), int) and asks[name] >= 1 for name in ("quorum", "valid_seconds", "expires_seconds"))
    )
    if not whole:
        raise Refused(400, "the question is not whole")


def fingerprint(question):
    """What the approval is bound to: change anything, and it is another request."""
    bound = [
        question["requester"]["issuer"],
        question["requester"]["subject"],
        question["operations"],
        question["digest"],
        question["policy"],
        question["rule"],
        question["asks"],
    ]
    return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()


def settle(database, identifier):
    """The approval, after what time has done to it."""
    now = time.time()
    database.execute(
        "UPDATE approvals SET state = 'expired' WHERE id = ? AND claimed_by IS NULL"
        " AND ((state = 'pending' AND ends <= ?) OR (state = 'approved' AND valid_until <= ?))",
        (identifier, now, now),
    )
    return database.execute("SELECT * FROM approvals WHERE id = ?", (identifier,)).fetchone()


def opened(identifier, question):
    """A new approval waits: tell people here."""


def meet_or_open(database, question, mark):
    open_one = database.execute(
        "SELECT id FROM approvals WHERE fingerprint = ? AND (state = 'pending' OR (state = 'approved' AND claimed_by IS NULL))",
        (mark,),
    ).fetchone()
    if open_one is not None:
        approval = settle(database, open_one["id"])
        if approval["state"] != "expired":
            return approval
    identifier = str(uuid.uuid4())
    ends = time.time() + question["asks"]["expires_seconds"]
    database.execute(
        "INSERT INTO approvals VALUES (?, ?, ?, 'pending', ?, NULL, NULL)", (identifier, mark, json.dumps(question), ends)
    )
    opened(identifier, question)
    return settle(database, identifier)


def ask(database, question):
    """Id, status and decisions for an exchange; `approved` claims the approval for it, once."""
    check(question)
    mark, exchange = fingerprint(question), question["exchange"]
    with Transaction(database):
        known = database.execute("SELECT * FROM exchanges WHERE exchange = ?", (exchange,)).fetchone()
        if known is not None and known["fingerprint"] != mark:
            raise Refused(409, "this exchange was used for another request")
        if known is None:
            approval = meet_or_open(database, question, mark)
            database.execute("INSERT INTO exchanges VALUES (?, ?, ?, 0)", (exchange, approval["id"], mark))
        else:
            approval = settle(database, known["approval"])
            if known["withdrawn"]:
                return answer(database, approval, "cancelled")
            if approval["state"] == "approved" and approval["claimed_by"] not in (None, exchange):
                approval = meet_or_open(database, question, mark)
                database.execute("UPDATE exchanges SET approval = ? WHERE exchange = ?", (approval["id"], exchange))
        if approval["state"] == "approved" and approval["claimed_by"] is None:
            database.execute("UPDATE approvals SET claimed_by = ? WHERE id = ?", (exchange, approval["id"]))
        return answer(database, approval, approval["state"])


def answer(database, approval, status):
    rows = database.execute("SELECT * FROM decisions WHERE approval = ? ORDER BY rowid", (approval["id"],))
    decisions = [
        {
            "approver": {name: row[name] for name in ("issuer", "subject", "name", "email")},
            "decision": row["decision"],
            "at": row["at"],
        }
        for row in rows
    ]
    return {"id": approval["id"], "status": status, "decisions": decisions}


def withdraw(database, identifier, exchange):
    with Transaction(database):
        known = database.execute("SELECT * FROM exchanges WHERE exchange = ?", (exchange,)).fetchone()
        if known is None:
            raise Refused(404, "there is no such exchange")
        approval = settle(database, known["approval"])
        if approval["state"] in ("denied", "expired") or approval["claimed_by"] == exchange:
            return
        database.execute("UPDATE exchanges SET withdrawn = 1 WHERE exchange = ?", (exchange,))
        others = database.execute(
            "SELECT count(*) FROM exchanges WHERE approval = ? AND withdrawn = 0", (approval["id"],)
        ).fetchone()[0]
        if others == 0 and approval["state"] == "pending":
            database.execute("UPDATE approvals SET state = 'cancelled' WHERE id = ?", (approval["id"],))


def may_decide(question, subject, person):
    """Never the requester, and only those whom the rule asks."""
    if question["requester"]["issuer"] == person["issuer"] and question["requester"]["subject"] == subject:
        return False
    names = {f"subject:{subject}"} | {f"role:{role}" for role in person.get("roles", [])}
    return bool(names & set(question["asks"]["approvers"]))


def decide(database, people, identifier, verdict, subject):
    """A person's decision; the one who calls this has authenticated the person."""
    person = people[subject]
    if verdict not in ("approve", "deny"):
        raise Refused(400, "approve or deny")
    with Transaction(database):
        approval = settle(database, identifier)
        if approval is None or approval["state"] != "pending":
            raise Refused(409, "there is nothing left to decide")
        question = json.loads(approval["question"])
        if not may_decide(question, subject, person):
            raise Refused(403, "this person may not decide about it")
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            database.execute(
                "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)",
                (identifier, person["issuer"], subject, person.get("name"), person.get("email"), verdict, at),
            )
        except sqlite3.IntegrityError:
            raise Refused(409, "this person has decided already") from None
        if verdict == "deny":
            database.execute("UPDATE approvals SET state = 'denied' WHERE id = ?", (identifier,))
            return
        agreed = database.execute(
            "SELECT count(*) FROM decisions WHERE approval = ? AND decision = 'approve'", (identifier,)
        ).fetchone()[0]
        if agreed >= question["asks"]["quorum"]:
            until = time.time() + question["asks"]["valid_seconds"]
            database.execute("UPDATE approvals SET state = 'approved', valid_until = ? WHERE id = ?", (until, identifier))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    database_path = token = None

    def respond(self, status, body=None):
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def handled(self, action):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            presented = self.headers.get("authorization", "")
            if not hmac.compare_digest(presented.encode(), f"Bearer {self.token}".encode()):
                raise Refused(401, "the gateway's token is missing or wrong")
            database = connect(self.database_path)
            try:
                action(database, body)
            finally:
                database.close()
        except Refused as refusal:
            self.respond(refusal.status, {"detail": str(refusal)})
        except ValueError:
            self.respond(400, {"detail": "the body is not JSON"})

    def do_POST(self):
        def asked(database, body):
            question = json.loads(body)
            if not isinstance(question, dict):
                raise Refused(400, "the body is not an object")
            until = time.monotonic() + self.patience()
            while True:
                found = ask(database, question)
                if found["status"] != "pending" or time.monotonic() >= until:
                    return self.respond(200, found)
                time.sleep(0.2)

        self.handled(asked)

    def patience(self):
        """`Prefer: wait=20` (RFC 7240), at most 25 s."""
        for part in self.headers.get("prefer", "").split(","):
            name, _, value = part.strip().partition("=")
            if name == "wait" and value.isdigit():
                return min(int(value), 25)
        return 0

    def do_DELETE(self):
        def withdrawn(database, _):
            address = urllib.parse.urlsplit(self.path)
            exchange = urllib.parse.parse_qs(address.query).get("exchange", [""])[0]
            withdraw(database, address.path.rpartition("/")[2], exchange)
            self.respond(204)

        self.handled(withdrawn)

    def log_message(self, *_):
        """Paths hold ids of exchanges; nothing is logged."""


def main():
    action, *rest = sys.argv[1:]
    if action == "serve":
        port, Handler.database_path, _ = rest
        Handler.token = os.environ["GRAPHWARDEN_TOKEN"]
        connect(Handler.database_path).close()
        ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
    elif action == "decide":
        path, people, identifier, verdict, subject = rest
        with open(people, encoding="utf-8") as file:
            decide(connect(path), json.load(file), identifier, verdict, subject)
    else:
        sys.exit(f"unknown action {action}")


if __name__ == "__main__":
    try:
        main()
    except Refused as refusal:
        sys.exit(str(refusal))
