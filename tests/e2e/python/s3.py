"""An S3 server with object lock (moto) on a port of this machine.

    s3.py PORT

Uploads under object lock need a checksum. S3 takes one in `x-amz-checksum-sha256`, which is what the desk sends; moto
looks only for the header by which the AWS SDK says that it sent one. So this server checks the checksum, as S3 does, and
then adds that header.
"""

import base64
import hashlib
import io
import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

moto = DomainDispatcherApplication(create_backend_app)


def app(environ, start_response):
    """Checks what an upload says of its bytes."""
    given = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
    if given is not None:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if base64.b64encode(hashlib.sha256(body).digest()).decode() != given:
            start_response("400 Bad Request", [("content-type", "text/plain")])
            return [b"BadDigest"]
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = "SHA256"
    return moto(environ, start_response)


run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
