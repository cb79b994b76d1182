"""Settings and credentials of object stores, found where the tools of the clouds find them.

botocore is asked for them and for nothing else: it knows environment variables, profiles, single sign-on, containers
and machines. Without any, requests are not signed, which public buckets answer.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spora_db.errors import MissingExtraError, StoreError
from spora_db.files.stores.signing import Keys

GOOGLE = "https://storage.googleapis.com"
RENEWED = 30.0
"""Seconds for which credentials that were found anew are the answer to all who were refused with those before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a service is asked.

    Attributes
    ----------
    endpoint
        The address of a service other than Amazon's, without a slash at its end; None for that.
    region
        Where buckets lie, unless the service tells otherwise.
    keys
        Gives who asks, None for nobody; asked for every request, as some credentials expire.
    renew
        Looks for credentials anew, as one may have logged in again meanwhile, and tells whether it found others than
        those that were refused.
    """

    endpoint: str | None
    region: str
    keys: Callable[[], Keys | None]
    renew: Callable[[], bool] = lambda: False


def amazon() -> Settings:
    """Return the settings for ``s3://``: those of the AWS tools; ``AWS_NO_SIGN_REQUEST=YES`` signs nothing.

    Raises
    ------
    MissingExtraError
        If botocore is absent.
    StoreError
        There is no profile of the name that was set, or what it names gives no credentials.
    """
    try:
        import botocore.session
    except ImportError as error:
        raise MissingExtraError("Reading s3:// needs botocore: pip install 'spora-db[remote]'.") from error
    with _told():
        session: Any = botocore.session.Session()
        config = session.get_scoped_config()
        region = session.get_config_variable("region") or os.environ.get("AWS_REGION") or "us-east-1"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or config.get("endpoint_url")
    unsigned = os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "1")
    found = None if unsigned else FoundKeys()
    return Settings(
        endpoint=endpoint.rstrip("/") if endpoint else None,
        region=region,
        keys=(lambda: None) if found is None else found.keys,
        renew=(lambda: False) if found is None else found.renew,
    )


class FoundKeys:
    """The credentials that botocore finds: it renews those that it knows to expire, others are looked for again."""

    def __init__(self) -> None:
        self._lock, self._renewed = threading.Lock(), -RENEWED
        self._found = _look()

    def keys(self) -> Keys | None:
        """Return them as they are now, None where there are none.

        Raises
        ------
        StoreError
            They cannot be had, as one has to log in anew.
        """
        return None if self._found is None else _frozen(self._found)

    def renew(self) -> bool:
        """Look for them anew, and tell whether others than before are there; of many threads, one does."""
        with self._lock:
            if time.monotonic() - self._renewed >= RENEWED:
                before, self._found = self.keys(), _look()
                if self.keys() == before:
                    return False
                self._renewed = time.monotonic()
            return True


def _look() -> Any:  # noqa: ANN401 - botocore is an extra
    import botocore.session

    with _told():
        return botocore.session.Session().get_credentials()


def _frozen(found: Any) -> Keys:  # noqa: ANN401
    with _told():
        frozen = found.get_frozen_credentials()
        return Keys(access=frozen.access_key, secret=frozen.secret_key, token=frozen.token)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say what botocore says of credentials that cannot be had."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise StoreError(
            f"The credentials for s3:// cannot be had: {' '.join(str(error).split())} Log in anew, such as with `aws "
            "sso login`, or check AWS_PROFILE; for a public bucket set AWS_NO_SIGN_REQUEST=YES."
        ) from error


def google() -> Settings:
    """Return the settings for ``gs://``: the interoperable API; signed with HMAC keys of ``GS_ACCESS_KEY_ID``."""
    access, secret = os.environ.get("GS_ACCESS_KEY_ID"), os.environ.get("GS_SECRET_ACCESS_KEY")
    found = Keys(access=access, secret=secret) if access and secret else None
    endpoint = os.environ.get("GS_ENDPOINT_URL", GOOGLE).rstrip("/")
    return Settings(endpoint=endpoint, region="auto", keys=lambda: found)
