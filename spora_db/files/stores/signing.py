"""AWS Signature Version 4 of a request without a body, as the S3 API reads it.

Source: "Authenticating Requests: Using the Authorization Header", Amazon S3 API reference.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Who asks; neither printed nor pickled."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def __reduce__(self) -> str:
        """Refuse to be pickled: a process finds its own."""
        raise TypeError("Credentials are not pickled: every process finds its own.")


def signed(
    method: str, url: str, headers: Mapping[str, str], *, keys: Keys, region: str, now: datetime | None = None
) -> dict[str, str]:
    """Return the headers of a request, with what proves who sends it.

    Parameters
    ----------
    method, url, headers
        The request; its URL is quoted as it is sent.
    keys, region
        Who asks, and where the bucket lies.
    now
        The time of the request, in UTC; by default that of the clock.

    Examples
    --------
    >>> at = datetime(2013, 5, 24, tzinfo=UTC)
    >>> keys = Keys(access="AKIDEXAMPLE", secret="secret")
    >>> made = signed("GET", "https://bucket.s3.amazonaws.com/a", {}, keys=keys, region="us-east-1", now=at)
    >>> made["x-amz-date"], made["authorization"].partition(",")[0]
    ('20130524T000000Z', 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20130524/us-east-1/s3/aws4_request')
    """
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    parts = urlsplit(url)
    sent = {name.lower(): value.strip() for name, value in headers.items()}
    sent |= {"host": parts.netloc, "x-amz-content-sha256": EMPTY, "x-amz-date": moment}
    if keys.token:
        sent["x-amz-security-token"] = keys.token
    names = ";".join(sorted(sent))
    asked = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parse_qsl(parts.query, True))  # noqa: FBT003
    canonical = "\n".join([
        method, parts.path or "/", "&".join(f"{name}={value}" for name, value in asked),
        *(f"{name}:{' '.join(sent[name].split())}" for name in sorted(sent)), "", names, EMPTY,
    ])  # fmt: skip
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    proof = hmac.digest(key, text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={proof}"
    )
    return sent
