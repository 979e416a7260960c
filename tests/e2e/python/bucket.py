"""A bucket with object lock, seen from outside of the desk: made, read, and attacked by who holds its credentials.

    bucket.py PORT make | read | attack

`read` prints every version of every object; `attack` tries to take back what is there, prints what the server said to
each attempt, and then every version.
"""

import json
import sys

import boto3
from botocore.exceptions import ClientError

BUCKET = "evidence"

port, what = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="tests",
    aws_secret_access_key="tests",
)


def versions() -> list[dict]:
    """Every version of every object, with its bytes as text where they are text."""
    found = s3.list_object_versions(Bucket=BUCKET).get("Versions", [])
    out = []
    for one in found:
        got = s3.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
        body = got["Body"].read().decode("utf-8", "replace")
        out.append({"key": one["Key"], "version": one["VersionId"], "body": body, "lock": got.get("ObjectLockMode")})
    return out


def attempt(name: str, act) -> dict:
    """What the server said."""
    try:
        act()
        return {"attempt": name, "code": "done"}
    except ClientError as error:
        return {"attempt": name, "code": error.response["Error"]["Code"]}


def attack() -> list[dict]:
    """Deletes, shortens and overwrites each version, as the desk's owner could."""
    said = []
    for one in versions():
        place = {"Bucket": BUCKET, "Key": one["key"], "VersionId": one["version"]}
        said.append(attempt("delete", lambda: s3.delete_object(**place)))
        said.append(attempt("bypass", lambda: s3.delete_object(**place, BypassGovernanceRetention=True)))
        again = lambda: s3.put_object(Bucket=BUCKET, Key=one["key"], Body=b"rewritten", IfNoneMatch="*")
        said.append(attempt("overwrite", again))
    return said


if what == "make":
    s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 365}}
    s3.put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    print("{}")
elif what == "read":
    print(json.dumps({"versions": versions()}))
else:
    print(json.dumps({"said": attack(), "versions": versions()}))
