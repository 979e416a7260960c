"""A real SMTP server (aiosmtpd) that keeps every letter as a line of JSON on its standard output.

    python smtpd.py PORT CERTIFICATE KEY USER PASSWORD

It speaks STARTTLS and takes nothing without it and without the password.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


class Keeper:
    def __init__(self):
        self.refused = False

    async def handle_DATA(self, server, session, envelope):
        text = envelope.content.decode()
        if "refuse-me" in text and not self.refused:
            self.refused = True
            return "451 come back later"
        letter = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "text": text,
        }
        print(json.dumps(letter), flush=True)
        return "250 kept"


def main():
    port, certificate, key, user, password = sys.argv[1:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
        return AuthResult(success=good)

    controller = Controller(
        Keeper(),
        hostname="127.0.0.1",
        port=int(port),
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    )
    controller.start()
    print("listening", flush=True)
    asyncio.new_event_loop().run_forever()


main()
